"""Rendering in a process that may be killed, with a budget for each page."""
