"""Pages of conversations and messages."""
