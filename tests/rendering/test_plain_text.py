"""Titles and plain text."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatsite.rendering.text import is_blank, plain_text, text_around, title_from_text


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
        ("a\x00\x1b[31mb\u202ec\ufeffd", "abcd"),
        ("***", "***"),
        ("---\n", "---"),
        ("هل تتكلم العربية؟", "هل تتكلم العربية؟"),
        ("\u0645\u06cc\u200c\u062e\u0648", "\u0645\u06cc\u200c\u062e\u0648"),
        ("👩\u200d🚀", "👩\u200d🚀"),
        ("\U0001fae8 shaking", "\U0001fae8 shaking"),
        ("\U0001f3f4\U000e0067\U000e0062\U000e007f a\U000e0067", "\U0001f3f4\U000e0067\U000e0062\U000e007f a"),
    ],
)
def test_title_is_plain_text_of_beginning(source: str, line: str) -> None:
    assert title_from_text(source) == line


@pytest.mark.parametrize("source", ["", " \n\t", "\x00\x01", "\u200b\u200d", "\u202e", "\ud800", "\u2800", "\u3164"])
def test_invisible_text_gives_empty_title(source: str) -> None:
    assert title_from_text(source) == ""


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
def test_title_is_truncated_after_word(source: str, line: str) -> None:
    assert title_from_text(source, max_chars=10) == line


def test_title_truncation_keeps_grapheme_clusters() -> None:
    assert title_from_text("abcdefghe\u0301ij", max_chars=10) == "abcdefgh…"
    assert title_from_text("abcdefg👩\u200d🚀ij", max_chars=10) == "abcdefg…"
    for cluster in ("🇺🇸", "👍🏽", "🏴\U000e0067\U000e0062\U000e007f", "\u0915\u094d\u0937\u093f"):
        assert title_from_text("abcdefgh" + cluster + "ij", max_chars=10) == "abcdefgh…"
    assert title_from_text("abcd🇫🇷🇩🇪 longer", max_chars=10) == "abcd🇫🇷🇩🇪…"
    assert title_from_text("e" + "\u0301" * 100, max_chars=10) == "e" + "\u0301" * 8 + "…"


@given(st.text(max_size=200), st.integers(5, 60))
def test_title_is_single_short_visible_line(source: str, most: int) -> None:
    line = title_from_text(source, most)
    assert len(line) <= most
    assert line == line.strip()
    assert not [c for c in line if unicodedata.category(c) in {"Cc", "Cs"} or c in "\u202e\u200b\ufeff"]
    assert line or not any(c.isalnum() for c in source) or "\x1b" in source


def test_title_of_huge_text_uses_beginning() -> None:
    assert title_from_text("word " * 100_000) == "word " * 11 + "word…"


def test_plain_text_has_line_per_block() -> None:
    assert plain_text("# a *b*\n\nc\nd\n\n- e\n- f `g`\n\n```py\nh\n\n  i\n```\n") == "a b\nc\nd\ne\nf g\nh\n\n  i"


def test_plain_text_of_too_deep_nesting_is_source() -> None:
    assert plain_text("> " * 50 + "a") == "> " * 50 + "a"


@pytest.mark.parametrize("source", ["", " \n", "\u200b", "# ", "#", "##\n>", "> \n> #", "\u2800", "\u3164\u200d"])
def test_blank_answers(source: str) -> None:
    assert is_blank(source)


@pytest.mark.parametrize("source", ["a", "# a", "---", "- ", "[x]: https://example.com", "\U0001fae9", "a" * 100_000])
def test_answers_that_show_something(source: str) -> None:
    assert not is_blank(source)


def test_long_text_of_marks_is_not_parsed_to_see_whether_it_is_blank() -> None:
    """Each of them would cost a worker seconds."""
    assert is_blank("#\n" * 100)
    assert not is_blank("#\n" * 49_000)
    assert not is_blank("> " * 49_000)
    assert is_blank("\u200b" * 100_000)


def test_text_around_a_position_is_parsed_alone() -> None:
    source = "\n\n".join(f"Paragraph **{number}** of many." for number in range(10_000))
    around = text_around(source, source.index("**5000**"))
    assert "Paragraph 5000 of many. Paragraph 5001" in around
    assert "*" not in around.removesuffix("*").removesuffix("*")
    assert len(around) <= 1200
