"""Markdown to safe HTML and to plain text: pure functions that know no page and no database.

`markdown` renders, `blocks` cuts a text that is still being written, `text` makes titles and plain text. Pages render
with `renderer`, which calls `markdown` in a process with a limit.
"""
