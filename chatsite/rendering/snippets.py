"""A piece of a text with what was looked for marked in it."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

SNIPPET_CHARS = 220
# What stands before the first mark, so that one sees what it is about.
LEAD_CHARS = 50
MARK = Markup("<mark>{}</mark>")

Span = tuple[int, int]


def snippet(text: str, spans: Sequence[Span], most: int = SNIPPET_CHARS) -> Markup:
    """About `most` characters of a text around the marked places, as HTML; dots where something is left out.

    `spans` are in order and do not overlap. Nothing of the text becomes markup.
    """
    start = _start(text, spans, most)
    end = _end(text, start + most)
    inside = [(max(first, start), min(last, end)) for first, last in spans if first < end and last > start]
    before, after = "…" if start else "", "…" if end < len(text) else ""
    return before + marked(text[start:end], [(first - start, last - start) for first, last in inside]) + after


def marked(text: str, spans: Sequence[Span]) -> Markup:
    """A whole text with places marked, as HTML."""
    pieces: list[Markup] = []
    done = 0
    for first, last in spans:
        pieces += [escape(text[done:first]), MARK.format(text[first:last])]
        done = last
    return Markup("").join([*pieces, escape(text[done:])])


def _start(text: str, spans: Sequence[Span], most: int) -> int:
    """Where to begin so that as many marks as possible are seen: at a word, a little before a mark."""
    if not spans:
        return 0
    firsts = [first for first, _ in spans]
    best = max(firsts, key=lambda first: (sum(first <= other < first + most - LEAD_CHARS for other in firsts), -first))
    start = max(0, best - LEAD_CHARS)
    space = text.find(" ", start, best)
    return start if start == 0 or space < 0 else space + 1


def _end(text: str, end: int) -> int:
    """Where to end: at a word, if one ends near."""
    if end >= len(text):
        return len(text)
    space = text.rfind(" ", end - LEAD_CHARS, end)
    return end if space < 0 else space
