"""Engines elsewhere: models that are asked over HTTP, and what is peculiar to the servers they run in."""
