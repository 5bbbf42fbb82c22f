"""Archive, tags, trash, undo and bulk actions."""
