"""From model files to modules."""
