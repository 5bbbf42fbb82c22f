"""Pages of personas."""
