"""Titles and plain text."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatsite.rendering.text import plain, title


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("Hello", "Hello"),
        ("  Hello,\n\n  **world**! ", "Hello, world!"),
        (
            "# Fix `a_b` in [this](https://example.org) ![picture](https://example.org/a.png)",
            "Fix a_b in this picture",
        ),
        ("- a\n- b\n\n> c", "a b c"),
        ("```python\nprint(1)\n```", "print(1)"),
        ("| a | b |\n|-|-|\n| c | d |", "a b c d"),
        ("<b>a</b> &amp; b", "<b>a</b> & b"),
        ("a\x00\x1b[31mb\u202ec\ufeffd", "a[31mbcd"),
        ("***", "***"),
        ("---\n", "---"),
        ("هل تتكلم العربية؟", "هل تتكلم العربية؟"),
        ("\u0645\u06cc\u200c\u062e\u0648", "\u0645\u06cc\u200c\u062e\u0648"),
        ("👩\u200d🚀", "👩\u200d🚀"),
    ],
)
def test_a_title_is_the_beginning_without_marks(source: str, line: str) -> None:
    assert title(source) == line


@pytest.mark.parametrize("source", ["", " \n\t", "\x00\x01", "\u200b\u200d", "\u202e", "\ud800"])
def test_nothing_to_be_seen_is_no_title(source: str) -> None:
    assert title(source) == ""


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("one two three", "one two…"),
        ("one two, three", "one two…"),
        ("onetwothreefour", "onetwothr…"),
        ("one twothreefour", "one twoth…"),
        ("0123456789", "0123456789"),
        ("012345678 9", "012345678…"),
        ("0123456789 a", "012345678…"),
    ],
)
def test_a_title_is_cut_behind_a_word(source: str, line: str) -> None:
    assert title(source, most=10) == line


def test_an_accent_or_an_emoji_is_not_torn_apart() -> None:
    assert title("abcdefghe\u0301ij", most=10) == "abcdefgh…"
    assert title("abcdefg👩\u200d🚀ij", most=10) == "abcdefg…"


@given(st.text(max_size=200), st.integers(5, 60))
def test_a_title_is_one_short_visible_line(source: str, most: int) -> None:
    line = title(source, most)
    assert len(line) <= most
    assert line == line.strip()
    assert not [c for c in line if unicodedata.category(c)[0] == "C" and c not in "\u200c\u200d"]
    assert line or not any(c.isalnum() for c in source)


def test_a_title_needs_only_the_beginning() -> None:
    assert title("word " * 100_000) == "word " * 11 + "word…"


def test_plain_text_has_a_line_for_each_block() -> None:
    assert plain("# a *b*\n\nc\nd\n\n- e\n- f `g`\n\n```py\nh\n\n  i\n```\n") == "a b\nc\nd\ne\nf g\nh\n\n  i"


def test_plain_text_of_something_too_deep_is_its_source() -> None:
    assert plain("> " * 50 + "a") == "> " * 50 + "a"
