"""Exports of conversations in the formats that people take away."""
