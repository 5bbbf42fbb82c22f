"""Marks stand where the words are, whatever the accents; and what fits better comes first."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatsite.services.search_matches import MOST_CHARS, ranked, spans
from chatsite.services.search_query import parse


def marked(text: str, typed: str) -> list[str]:
    """What is marked in a text."""
    return [text[first:last] for first, last in spans(text, parse(typed))]


@pytest.mark.parametrize(
    ("text", "typed", "expected"),
    [
        ("El camión está aquí", "camion ", ["camión"]),
        ("El camion está aquí", "CAMIÓN ESTA ", ["camion", "está"]),
        (unicodedata.normalize("NFD", "El camión"), "camion ", [unicodedata.normalize("NFD", "camión")]),
        ("Camiones y camión", "camio", ["Camio", "camió"]),
        ("Camiones y camión", "camion ", ["camión"]),
        ("the hot, fresh bread", '"hot fresh"', ["hot, fresh"]),
        ("hot (and) fresh", '"hot fresh"', []),
        ("x86_64 and _64_", "64 ", ["64", "64"]),
        ("node.js nodejs", "node.js ", ["node.js"]),
        ("a.b a-b a", '"a b"', ["a.b", "a-b"]),
        ("nothing", "", []),
        ("İstanbul ist", "ist ", ["ist"]),
        ("한국어 텍스트", "한국어 ", ["한국어"]),
        ("no by me", "by:me", []),
    ],
)
def test_marks(text: str, typed: str, expected: list[str]) -> None:
    assert marked(text, typed) == expected


@given(st.text(), st.text(max_size=20))
def test_marks_are_in_order_and_inside(text: str, typed: str) -> None:
    end = 0
    for first, last in spans(text, parse(typed)):
        assert end <= first < last <= len(text)
        end = last


@given(st.text(st.characters(exclude_categories=["Cs"])), st.from_regex(r"[a-z]{3,6}", fullmatch=True), st.text())
def test_a_word_that_stands_alone_is_marked(before: str, word: str, after: str) -> None:
    text = f"{before} {word} {after}"
    assert (len(before) + 1, len(before) + 1 + len(word)) in spans(text, parse(f"{word} "))


def test_accents_without_end_take_no_time_without_end() -> None:
    """A pattern that tried each way to share them out would never be done."""
    text = ("a" + "\u0300" * 2000 + " ") * 25
    assert spans(text[:MOST_CHARS], parse('"a b"')) == []


def test_what_fits_better_comes_first() -> None:
    texts = ["bread " + "and so on " * 300, "bread bread bread", "breads for breakfast", "hot bread", "bread, not hot"]
    order = ranked(enumerate(texts), parse("bread"))
    assert [texts[place] for place in order][:1] == ["bread bread bread"]
    assert [texts[place] for place in order][-2:] == ["breads for breakfast", texts[0]]
    assert ranked(enumerate(texts[3:]), parse("hot bread")) == [0, 1]


def test_of_equals_the_newest_comes_first() -> None:
    assert ranked([(1, "bread"), (3, "bread"), (2, "bread")], parse("bread")) == [3, 2, 1]
