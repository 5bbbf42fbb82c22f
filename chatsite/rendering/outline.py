"""The levels of headings: what an answer calls its first, second or third one is no level of the page that shows it."""

from __future__ import annotations

import re
from collections.abc import Iterable

FIRST, LAST = 3, 6
"""The page has the two levels above, the second of which is that of each message; HTML has six."""

_MARKED = re.compile(r" {0,3}(#{1,6})(?:[ \t]|$)", re.MULTILINE)
_UNDERLINE = re.compile(r" {0,3}(=+|-+)")


def levels(sources: Iterable[str]) -> list[int]:
    """For each block of a text the level that a heading has in the page, and 0 where there is no heading.

    The first one has the first level whatever it is called, and each one the next below what it belongs to, so none is
    left out. That depends on what came before only, so what is written later changes nothing.
    """
    above: list[int] = []
    return [_below(above, rank) if (rank := _rank(source)) else 0 for source in sources]


def _rank(source: str) -> int:
    """What a block that may be a heading calls itself, from 1 to 6; 0 for all others."""
    marked = _MARKED.match(source.lstrip("\n"))
    if marked:
        return len(marked[1])
    # Only the last line is looked at: a block may be very long, and is asked for again with every token.
    text, _, line = source.rstrip().rpartition("\n")
    underlined = _UNDERLINE.fullmatch(line) if text.strip() else None
    return 0 if not underlined else 1 if underlined[1][0] == "=" else 2


def _below(above: list[int], rank: int) -> int:
    """Leave what is not above this heading, and go one level down."""
    while above and above[-1] >= rank:
        above.pop()
    above.append(rank)
    return min(FIRST - 1 + len(above), LAST)
