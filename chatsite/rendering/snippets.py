"""An excerpt of a text with the matches marked."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

MAX_SNIPPET_CHARS = 220
# What stands before the first mark, so that one sees what it is about.
CONTEXT_CHARS = 50
MARK_TAG = Markup("<mark>{}</mark>")

Span = tuple[int, int]


def build_snippet(text: str, spans: Sequence[Span], max_chars: int = MAX_SNIPPET_CHARS) -> Markup:
    """Return about `max_chars` characters of a text around its matches, as HTML with dots where text is left out.

    `match_spans` are in order and do not overlap. Nothing of the text becomes markup.
    """
    start = _snippet_start(text, spans, max_chars)
    end = _snippet_end(text, start + max_chars)
    visible_spans = [(max(first, start), min(last, end)) for first, last in spans if first < end and last > start]
    before, after = "…" if start else "", "…" if end < len(text) else ""
    return (
        before
        + highlight_matches(text[start:end], [(first - start, last - start) for first, last in visible_spans])
        + after
    )


def highlight_matches(text: str, spans: Sequence[Span]) -> Markup:
    """Render a whole text as HTML with its matches marked."""
    pieces: list[Markup] = []
    copied_to = 0
    for first, last in spans:
        pieces += [escape(text[copied_to:first]), MARK_TAG.format(text[first:last])]
        copied_to = last
    return Markup("").join([*pieces, escape(text[copied_to:])])


def _snippet_start(text: str, spans: Sequence[Span], max_chars: int) -> int:
    """Return where to begin so that most matches are seen: at a word, a little before a match."""
    if not spans:
        return 0
    starts = [first for first, _ in spans]
    best = max(
        starts, key=lambda first: (sum(first <= other < first + max_chars - CONTEXT_CHARS for other in starts), -first)
    )
    start = max(0, best - CONTEXT_CHARS)
    space = text.find(" ", start, best)
    return start if start == 0 or space < 0 else space + 1


def _snippet_end(text: str, end: int) -> int:
    """Return where to end: at a word, if one ends near."""
    if end >= len(text):
        return len(text)
    space = text.rfind(" ", end - CONTEXT_CHARS, end)
    return end if space < 0 else space
