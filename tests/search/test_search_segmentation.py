"""Words of languages that write no spaces, and emoji, are found wherever they stand, on both databases alike."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, text

from chatsite.database import db, write_transaction
from chatsite.models import Conversation
from chatsite.models.search_folding import FOLDED_LETTERS, fold_letters, sql_folded_text
from chatsite.models.search_segmentation import MAX_SEGMENTED_CHARS, PIECE_CHARS, segment_text, sqlite_segmented_text
from chatsite.services.search import indexes
from chatsite.services.search.query import parse_query
from chatsite.services.search.ranking import match_spans
from chatsite.services.search.search import Sort
from tests.conftest import People
from tests.search.test_search import found, talk, titles

SENTENCES = {
    "昨日は東京でラーメンを食べました": ["昨日", "東京", "ラーメン", "食べました", "昨", '"東京で"', "東京 ラーメン"],
    "北京大学の学生です。": ["北京", "大学", "学生"],
    "서울에서 부산까지 갔어요": ["서울", "부산", "갔어", "울에서"],
    "ฉันกินข้าวที่กรุงเทพ": ["กินข้าว", "กรุงเทพ", "ที่"],
    "🎉 party of 👩🏽‍🚀 and ⌚": ["🎉", "👩🏽‍🚀", "🚀", "⌚", "party", "🎉 party"],
    "我用iPhone手机打电话": ["iphone", "手机", "iPhone手机", "打电话"],
    "𠮷野家で牛丼": ["𠮷野家", "牛丼"],
}


@pytest.fixture
def people_with_sentences(people: People) -> People:
    """Alice's messages and titles in several languages."""
    for each in SENTENCES:
        talk(people.alice, each, title=each)
    talk(people.bob, *SENTENCES)
    return people


def test_words_inside_sentences_are_found(people_with_sentences: People) -> None:
    alice = people_with_sentences.alice
    for sentence, queries in SENTENCES.items():
        for typed in queries:
            for sort in Sort:
                assert found(alice, typed, sort=sort) == [sentence], (typed, sort)
            assert titles(alice, typed) == [sentence], typed


def test_letters_in_another_order_are_not_found(people_with_sentences: People) -> None:
    for typed in ("京東", "ンラーメ", "北大", "🎊", "昨日 北京", "手iPhone"):
        assert found(people_with_sentences.alice, typed) == [], typed
    assert set(found(people_with_sentences.alice, "-東京 -🎉")) == set(SENTENCES) - {
        "昨日は東京でラーメンを食べました",
        "🎉 party of 👩🏽‍🚀 and ⌚",
    }


@pytest.mark.parametrize(
    ("sentence", "typed", "expected"),
    [
        ("昨日は東京でラーメン", "東京", ["東京"]),
        ("我用iPhone手机", "iphone", ["iPhone"]),
        ("我用iPhone手机", "手机 iphone ", ["iPhone", "手机"]),
        ("🎉party🎉", "🎉", ["🎉", "🎉"]),
        ("🎉party🎉", "party ", ["party"]),
        ("ガラスとカラス", "ガラス", ["ガラス"]),
        ("東、京", "東京", ["東、京"]),
        ("サーバーabc", "bc ", []),
    ],
)
def test_matches_inside_sentences_are_highlighted(sentence: str, typed: str, expected: list[str]) -> None:
    assert [sentence[first:last] for first, last in match_spans(sentence, parse_query(typed))] == expected


def test_both_databases_segment_as_queries_do(people: People) -> None:
    sqlite = db.engine.dialect.name == "sqlite"
    expression = sqlite_segmented_text("value") if sqlite else "search_segment(value)"
    statement = text(f"SELECT {expression} FROM (SELECT :given AS value) AS row")
    letters = "東京はラーメン🎉 abc é ÿ ﬁ กิ 가 𠮷 \n" * 40
    for length in (0, 1, PIECE_CHARS - 1, PIECE_CHARS, PIECE_CHARS + 1, 2 * PIECE_CHARS, 1100):
        given_text = (letters * 3)[:length]
        assert db.session.scalar(statement, {"given": given_text}) == segment_text(given_text)
    long_text = "京a" * MAX_SEGMENTED_CHARS
    assert db.session.scalar(statement, {"given": long_text}) == (
        segment_text(long_text[:MAX_SEGMENTED_CHARS]) + long_text[MAX_SEGMENTED_CHARS:]
    )


WORDS = st.text(st.sampled_from("東京日本語🎉한글กิ"), min_size=1, max_size=4)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=4), WORDS)
def test_rows_of_letters_are_found_by_every_part(people: People, said: list[str], typed: str) -> None:
    with write_transaction() as session:
        session.execute(delete(Conversation))
    for each in said:
        talk(people.alice, f"a {each} b")
    expected = sorted(f"a {each} b" for each in said if typed in each)
    assert sorted(found(people.alice, typed, size=50)) == expected
    assert indexes.count_drift() == 0


def test_both_databases_fold_as_queries_do(people: People) -> None:
    given_text = "".join(FOLDED_LETTERS) * 3 + " İstanbul é 東京 plain"
    statement = text(f"SELECT {sql_folded_text('value')} FROM (SELECT :given AS value) AS row")
    assert db.session.scalar(statement, {"given": given_text}) == fold_letters(given_text)
    assert fold_letters("Großes Œuvre, Łódź") == "Grosses oeuvre, lódź"
