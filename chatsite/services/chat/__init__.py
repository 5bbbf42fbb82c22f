"""Conversations, their messages, and the generations that write the answers."""
