"""Whatever is typed is understood somehow, and what is meant is understood rightly."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatsite.models import Role
from chatsite.models.search_segmentation import has_segmented_character
from chatsite.services.search.query import MAX_QUERY_CHARS, MAX_TERMS, Query, Term, parse_query


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("", Query()),
        ("  \t\n ", Query()),
        ("bread", Query(words=(Term("bread", is_prefix=True),))),
        ("bread ", Query(words=(Term("bread"),))),
        ("bread oven", Query(words=(Term("bread"), Term("oven", is_prefix=True)))),
        ("bre* oven ", Query(words=(Term("bre", is_prefix=True), Term("oven")))),
        ("a", Query(words=(Term("a"),))),
        ("a* b ", Query(words=(Term("a"), Term("b")))),
        ('"hot bread"', Query(words=(Term("hot bread"),))),
        ("«hot bread» “x y”", Query(words=(Term("hot bread"), Term("x y")))),
        ('"hot bre', Query(words=(Term("hot bre", is_prefix=True),))),
        ("-bread", Query(excluded_words=(Term("bread"),))),
        ('-"hot bread" ', Query(excluded_words=(Term("hot bread"),))),
        ("well-known ", Query(words=(Term("well-known"),))),
        ("- -- *** \"\" '' ...", Query()),
        ("IN:Title", Query(in_titles=True)),
        ("en:título", Query(in_titles=True)),
        ("by:me", Query(role=Role.USER)),
        ("por:mí", Query(role=Role.USER)),
        ("by:model", Query(role=Role.ASSISTANT)),
        ("por:modelo", Query(role=Role.ASSISTANT)),
        ("-by:me", Query(role=Role.ASSISTANT)),
        ("by:me by:model", Query(role=Role.ASSISTANT)),
        ("tag:Recetás -etiqueta:Old", Query(tags=("recetas",), excluded_tags=("old",))),
        ('tag:"my work" ', Query(tags=("my work",))),
        ("model:blenderbot modelo:opt* ", Query(models=(Term("blenderbot"), Term("opt", is_prefix=True)))),
        ("-model:opt", Query(excluded_models=(Term("opt"),))),
        ("before:2024", Query(until=datetime(2024, 1, 1, tzinfo=UTC))),
        ("antes:2024-05", Query(until=datetime(2024, 5, 1, tzinfo=UTC))),
        ("después:2024-5-7", Query(since=datetime(2024, 5, 7, tzinfo=UTC))),
        ("before:2024-13 ", Query(words=(Term("before:2024-13"),))),
        ("after:soon ", Query(words=(Term("after:soon"),))),
        ("in:box -by:nobody x:y ", Query(words=(Term("in:box"), Term("x:y")), excluded_words=(Term("by:nobody"),))),
        ("http://example.org ", Query(words=(Term("http://example.org"),))),
    ],
)
def test_query_text_is_parsed(typed: str, expected: Query) -> None:
    assert parse_query(typed) == expected


def test_dates_use_user_timezone() -> None:
    query = parse_query("before:2024-05-10", ZoneInfo("America/Lima"))
    assert query.until == datetime(2024, 5, 10, 5, tzinfo=UTC)


PIECES = st.sampled_from(
    ["in:", "by:", "tag:", "model:", "before:", "after:", "-", '"', "*", "“", ":", " ", "2024-99", "me"]
)


@given(st.lists(st.one_of(PIECES, st.text(max_size=6))).map("".join))
def test_parsing_never_fails_and_is_bounded(typed: str) -> None:
    query = parse_query(typed)
    for terms in (query.words, query.excluded_words, query.models, query.tags):
        assert len(terms) <= MAX_TERMS
    for term in (*query.words, *query.excluded_words, *query.models):
        assert any(character.isalnum() or has_segmented_character(character) for character in term.text)
        assert not set(term.text) & set('"\x00\n')
        term.text.encode()


@given(st.lists(st.from_regex(r"[a-zé]{2,8}", fullmatch=True), min_size=1, max_size=5, unique=True))
def test_plain_words_parse_unchanged(words: list[str]) -> None:
    assert [term.text for term in parse_query(" ".join(words)).words] == words


def test_long_query_is_truncated() -> None:
    assert len(parse_query("x" * (MAX_QUERY_CHARS + 100)).words[0].text) == MAX_QUERY_CHARS
    assert len(parse_query(" ".join(f"word{number}" for number in range(60))).words) == MAX_TERMS
