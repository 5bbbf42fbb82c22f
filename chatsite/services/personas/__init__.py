"""Personas: built-in ones and the users' own."""
