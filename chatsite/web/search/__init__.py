"""Search page and command palette."""
