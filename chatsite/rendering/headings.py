"""Levels of headings: an answer's own levels become levels of the page that shows it."""

from __future__ import annotations

import re
from collections.abc import Iterable

FIRST_LEVEL, LAST_LEVEL = 3, 6
"""The page has the two levels above, the second of which is that of each message; HTML has six."""

_HASH_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]|$)", re.MULTILINE)
_HEADING_UNDERLINE = re.compile(r" {0,3}(=+|-+)")


def nested_levels(sources: Iterable[str]) -> list[int]:
    """Return the heading level of each block in the page; 0 for blocks that are no headings.

    The first one has the first level whatever it is called, and each one the next below what it belongs to, so none is
    left out. That depends on what came before only, so what is written later changes nothing.
    """
    above: list[int] = []
    return [_nested_level(above, rank) if (rank := _heading_rank(source)) else 0 for source in sources]


def _heading_rank(source: str) -> int:
    """Return the rank that a block gives itself, from 1 to 6; 0 for a block that cannot be a heading."""
    marked = _HASH_HEADING.match(source.lstrip("\n"))
    if marked:
        return len(marked[1])
    # Only the last line is looked at: a block may be very long, and is asked for again with every token.
    text, _, line = source.rstrip().rpartition("\n")
    underlined = _HEADING_UNDERLINE.fullmatch(line) if text.strip() else None
    return 0 if not underlined else 1 if underlined[1][0] == "=" else 2


def _nested_level(above: list[int], rank: int) -> int:
    """Leave the headings that are not above this one, and go one level down."""
    while above and above[-1] >= rank:
        above.pop()
    above.append(rank)
    return min(FIRST_LEVEL - 1 + len(above), LAST_LEVEL)
