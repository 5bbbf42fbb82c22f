"""Marks stand where the words are, whatever the accents; and what fits better comes first."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatsite.services.search.query import parse_query
from chatsite.services.search.ranking import MAX_TEXT_CHARS, match_spans, rank_texts


def marked(text: str, typed: str) -> list[str]:
    """What is marked in a text."""
    return [text[first:last] for first, last in match_spans(text, parse_query(typed))]


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
        ("Die Straße, die strasse", "strasse ", ["Straße", "strasse"]),
        ("Die Straße, die strasse", "STRAẞE ", ["Straße", "strasse"]),
        ("Straßen", "stras", ["Straß"]),
        ("Æsop, aesop, Œuvre", "aesop oeuvre ", ["Æsop", "aesop", "Œuvre"]),
        ("Łódź Øl Đà Nẵng Þór", "lodz ol nang thor ", ["Łódź", "Øl", "Nẵng", "Þór"]),
        ("ßßß ß", '"ssssss ss"', ["ßßß ß"]),
        ("Flußsand", "flusssand ", ["Flußsand"]),
        ("ae", "æ ", ["ae"]),
        (unicodedata.normalize("NFD", "ǽ ǿ"), "ae o ", [unicodedata.normalize("NFD", each) for each in "ǽǿ"]),
        ("no by me", "by:me", []),
    ],
)
def test_query_matches_are_highlighted(text: str, typed: str, expected: list[str]) -> None:
    assert marked(text, typed) == expected


@settings(deadline=None)
@given(st.text(), st.text(max_size=20))
def test_match_spans_are_ordered_and_in_bounds(text: str, typed: str) -> None:
    end = 0
    for first, last in match_spans(text, parse_query(typed)):
        assert end <= first < last <= len(text)
        end = last


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])), st.from_regex(r"[a-z]{3,6}", fullmatch=True), st.text())
def test_standalone_word_is_highlighted(before: str, word: str, after: str) -> None:
    text = f"{before} {word} {after}"
    assert (len(before) + 1, len(before) + 1 + len(word)) in match_spans(text, parse_query(f"{word} "))


@settings(deadline=None)
@given(st.text("ßæœøłs aeo\u0301東", max_size=30), st.text("ßæœsaeo 東", max_size=5))
def test_match_spans_of_double_letters_are_whole_letters(text: str, typed: str) -> None:
    end = 0
    for first, last in match_spans(text, parse_query(typed)):
        assert end <= first < last <= len(text)
        end = last


def test_many_combining_accents_match_in_bounded_time() -> None:
    """A pattern that tried each way to share them out would never be done."""
    text = ("a" + "\u0300" * 2000 + " ") * 25
    assert match_spans(text[:MAX_TEXT_CHARS], parse_query('"a b"')) == []


def test_better_matches_rank_first() -> None:
    texts = ["bread " + "and so on " * 300, "bread bread bread", "breads for breakfast", "hot bread", "bread, not hot"]
    order = rank_texts(enumerate(texts), parse_query("bread"))
    assert [texts[place] for place in order][:1] == ["bread bread bread"]
    assert [texts[place] for place in order][-2:] == ["breads for breakfast", texts[0]]
    assert rank_texts(enumerate(texts[3:]), parse_query("hot bread")) == [0, 1]


def test_equal_matches_rank_newest_first() -> None:
    assert rank_texts([(1, "bread"), (3, "bread"), (2, "bread")], parse_query("bread")) == [3, 2, 1]
