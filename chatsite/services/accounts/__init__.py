"""Users and how they are identified."""
