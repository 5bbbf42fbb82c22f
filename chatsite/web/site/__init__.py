"""Overview, preferences, shortcuts, installable app."""
