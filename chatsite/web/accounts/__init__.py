"""Pages about the identity of a user."""
