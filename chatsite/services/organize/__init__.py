"""Tags, trash and undo."""
