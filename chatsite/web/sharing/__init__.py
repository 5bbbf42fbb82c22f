"""Sharing a conversation, and the public page of a share."""
