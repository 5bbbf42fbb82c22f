"""Markdown to plain text: for titles, for the terminal and for screen readers."""

from __future__ import annotations

import re

from markdown_it.token import Token

from chatsite.rendering.markdown_parser import normalize_source, parse_markdown
from chatsite.rendering.syntax.links import inline_text
from chatsite.visible_text import cluster_ends, has_visible_text, remove_invisible, visible_line

MAX_TITLE_SOURCE_CHARS = 2_000
"""A title is in the first lines; the rest of a long text is not parsed for it."""

_MAX_CLUSTER_CHARS = 32
"""A family of emoji, or a flag of a region, has no more characters."""

_CHARS_BEFORE, _CHARS_AFTER = 300, 900
"""What a snippet may show, and the beginning of the block that it is in."""

MAX_BLANK_MARKS_CHARS = 1000
_VANISHING_MARKS = re.compile("[#>]")


def plain_text(source: str) -> str:
    """Return the words of `source` without Markdown marks, a line for each block; code stays as it is."""
    lines = (_block_text(token) for token in parse_markdown(normalize_source(source), {}))
    return "\n".join(line for line in lines if line)


def _block_text(token: Token) -> str:
    """Return the words of one block token; most have none."""
    return (inline_text(token.children) if token.children else token.content).strip("\n")


def text_around(source: str, position: int) -> str:
    """Return the words of `source` around a position in one line, cells of tables with dots between them.

    Only the blocks near the position are parsed, so a long text takes no longer than a short one.
    """
    start = max(0, position - _CHARS_BEFORE)
    if start:
        start = max(source.rfind("\n\n", start, position), source.rfind("\n", start, position), start)
    words, is_in_table, separator = "", False, ""
    for token in parse_markdown(normalize_source(source[start : position + _CHARS_AFTER]), {}):
        if token.type in ("table_open", "table_close"):
            is_in_table = token.type == "table_open"
            separator = " "
        if line := " ".join(_block_text(token).split()):
            words += separator + line
            separator = " · " if is_in_table else " "
    return words.strip()


def is_blank(source: str) -> bool:
    """Return whether a Markdown text shows nothing: there are only invisible characters, or marks without words.

    Only texts of up to MAX_BLANK_MARKS_CHARS characters are parsed for that, so that no text holds a worker; a longer
    one with marks alone does not count as blank.
    """
    if not has_visible_text(source):
        return True
    if len(source) > MAX_BLANK_MARKS_CHARS:
        return False
    # Marks of headings and quotes vanish; those of lists and lines are seen.
    return not has_visible_text(_VANISHING_MARKS.sub("", source)) and not has_visible_text(plain_text(source))


def title_from_text(source: str, max_chars: int = 60) -> str:
    """Return one line of at most `max_chars` characters that says what `source` begins with.

    It has no Markdown marks and no invisible characters, and ends in `…` where words are missing. It is
    empty only if there is nothing to be seen in the beginning of `source`.
    """
    start = remove_invisible(source[:MAX_TITLE_SOURCE_CHARS])
    return shorten_line(visible_line(plain_text(start)) or visible_line(start), max_chars)


def shorten_line(line: str, max_chars: int) -> str:
    """Cut `line` behind a word, or within one that is too long, where no accent or emoji is torn apart."""
    if len(line) <= max_chars:
        return line
    end = max((end for end in cluster_ends(line[: max_chars + _MAX_CLUSTER_CHARS]) if end < max_chars), default=0)
    space = line.rfind(" ", 0, end + 1)
    if space >= max_chars // 2:
        end = space
    # Only nonsense has so many accents on its first letter.
    return line[: end or max_chars - 1].rstrip(" ,;:.-–—") + "…"  # noqa: RUF001
