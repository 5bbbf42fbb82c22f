"""Weights in eight and sixteen bits."""
