"""Full-text search over messages and titles."""
