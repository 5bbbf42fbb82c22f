"""Marks never break what is escaped, and nothing of the text is lost or added."""

from __future__ import annotations

import re
from html import unescape

from hypothesis import given
from hypothesis import strategies as st

from chatsite.rendering.snippets import MAX_SNIPPET_CHARS, build_snippet, highlight_matches

TEXTS = st.text(st.one_of(st.characters(), st.sampled_from("<>&\"' \n")), max_size=600)


@st.composite
def texts_with_spans(draw: st.DrawFn) -> tuple[str, list[tuple[int, int]]]:
    """A text and some places in it, in order, without overlaps."""
    text = draw(TEXTS)
    ends = sorted(draw(st.sets(st.integers(0, len(text)), max_size=12)))
    return text, [(first, last) for first, last in zip(ends[::2], ends[1::2], strict=False) if first < last]


def plain(html: str) -> str:
    """What is read of it; fails when there is any markup but marks that open and close."""
    without = html.replace("<mark>", "").replace("</mark>", "")
    assert not re.search(r"[<>\"']", without)
    assert re.findall(r"</?mark>", html) == ["<mark>", "</mark>"] * html.count("<mark>")
    return unescape(without)


@given(texts_with_spans())
def test_highlight_marks_spans_and_preserves_text(given_: tuple[str, list[tuple[int, int]]]) -> None:
    text, spans = given_
    html = str(highlight_matches(text, spans))
    assert plain(html) == text
    assert [unescape(found) for found in re.findall(r"<mark>(.*?)</mark>", html, re.DOTALL)] == [
        text[first:last] for first, last in spans
    ]


@given(texts_with_spans(), st.integers(120, 300))
def test_snippet_is_substring_within_limit(given_: tuple[str, list[tuple[int, int]]], most: int) -> None:
    text, spans = given_
    html = str(build_snippet(text, spans, most))
    piece = plain(html)
    # The dots are not of the text; where the text has dots of its own, either reading will do.
    readings = {piece, piece.removeprefix("…"), piece.removesuffix("…"), piece.removeprefix("…").removesuffix("…")}
    assert any(reading in text and len(reading) <= most for reading in readings)
    assert "<mark>" in html or not spans


def test_snippet_is_centered_on_match() -> None:
    text = "Long ago. " * 100 + "Then the bread was baked. " + "And so on. " * 100
    first = text.index("bread")
    html = str(build_snippet(text, [(first, first + 5)]))
    assert "<mark>bread</mark> was baked" in html
    assert html.startswith("…")
    assert html.endswith("…")
    assert len(plain(html)) <= MAX_SNIPPET_CHARS + 2


def test_snippet_prefers_passage_with_most_matches() -> None:
    text = "bread" + " x" * 400 + " bread and bread"
    places = [found.span() for found in re.finditer("bread", text)]
    assert str(build_snippet(text, places)).count("<mark>") == 2


def test_short_text_is_not_truncated() -> None:
    assert str(build_snippet("<b>Hi</b> & bye", [(3, 5)])) == "&lt;b&gt;<mark>Hi</mark>&lt;/b&gt; &amp; bye"
