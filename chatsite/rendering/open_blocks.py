"""Blocks of Markdown that a text leaves open: without their end, they would swallow what is written below the text.

A list or a quotation ends by itself at the next line that is not indented, and so do the blocks in it. Code between
fences and some blocks of HTML last until their end.
"""

from __future__ import annotations

import re

from markdown_it import MarkdownIt

# Blocks of HTML that do not end at an empty line, and how each one ends.
_HTML_ENDS = [
    (re.compile(r" {0,3}<!--"), "-->"),
    (re.compile(r" {0,3}<\?"), "?>"),
    (re.compile(r" {0,3}<!\[CDATA\["), "]]>"),
    (re.compile(r" {0,3}<![A-Za-z]"), ">"),
    (re.compile(r" {0,3}<pre(?=[\s>]|$)", re.IGNORECASE | re.MULTILINE), "</pre>"),
    (re.compile(r" {0,3}<script(?=[\s>]|$)", re.IGNORECASE | re.MULTILINE), "</script>"),
    (re.compile(r" {0,3}<style(?=[\s>]|$)", re.IGNORECASE | re.MULTILINE), "</style>"),
    (re.compile(r" {0,3}<textarea(?=[\s>]|$)", re.IGNORECASE | re.MULTILINE), "</textarea>"),
]
# Without one of these, no block can stay open.
_MAY_STAY_OPEN = re.compile(r"```|~~~|^ {0,3}<(?:[!?]|pre|script|style|textarea)", re.IGNORECASE | re.MULTILINE)
# In a longer text, what is indented or quoted is not told from what is not.
MAX_PARSED_CHARS = 100_000
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})([^\n]*)")

_BLOCKS = MarkdownIt("commonmark")
_BLOCKS.core.ruler.enableOnly(["normalize", "block"])


def close_open_blocks(text: str) -> str:
    """Return a text with the end of the block that it leaves open, if there is one."""
    if not _MAY_STAY_OPEN.search(text):
        return text
    end = _find_open_fence(text) if len(text) > MAX_PARSED_CHARS else _find_missing_end(text)
    return f"{text.rstrip()}\n{end}" if end else text


def _find_missing_end(text: str) -> str | None:
    """Return the line that ends the last block of a text; None if that ends by itself."""
    tokens = _BLOCKS.parse(f"{text}\n\n# x")
    last = tokens[-1]
    if last.type == "fence":
        return last.markup
    if last.type == "html_block":
        return next((end for start, end in _HTML_ENDS if start.match(last.content)), None)
    return None


def _find_open_fence(text: str) -> str | None:
    """Return the end of the code block that is open at the end of a text, line by line."""
    fence: str | None = None
    for line in text.split("\n"):
        match = _FENCE.fullmatch(line)
        if match is None:
            continue
        if fence is None:
            fence = None if match[1][0] == "`" and "`" in match[2] else match[1]
        elif match[1].startswith(fence) and not match[2].strip():
            fence = None
    return fence
