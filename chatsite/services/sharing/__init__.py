"""Shares: public, read-only pages of conversations."""
