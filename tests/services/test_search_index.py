"""The index cannot drift: whatever is done to what is stored, in whatever way, is found or not in the same moment."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, text, update

from chatsite.database import db, now, write
from chatsite.models import Conversation, Generation, Message, Role, Status, User
from chatsite.services import (
    accounts,
    branches,
    claims,
    conversations,
    generations,
    messages,
    search,
    search_indexes,
)
from chatsite.services.search import Sort
from tests.conftest import LIMITS, People
from tests.services.test_search import found, talk, titles


def test_a_question_is_found_at_once_and_its_answer_when_it_is_settled(people: People) -> None:
    turn = messages.start(people.alice, "Where is the bread?", "t1", "Bread", LIMITS)
    assert found(people.alice, "bread") == ["Where is the bread?"]
    [claim] = claims.claim("runner", 1, 5, 2)
    claims.record("runner", {claim.generation_id: claims.Written(claim.attempt, text="In the oven", tokens=1)}, 5)
    assert found(people.alice, "oven") == []
    done = claims.Written(claim.attempt, text=".", tokens=1, status=Status.DONE, reason="end")
    claims.record("runner", {claim.generation_id: done}, 5)
    assert found(people.alice, "oven") == ["In the oven."]
    assert search.find(people.alice, "oven").messages[0].id == turn.answer.id


def test_another_try_takes_the_place_of_the_first(people: People) -> None:
    turn = messages.start(people.alice, "Hi", "t1", "Hi", LIMITS)
    [claim] = claims.claim("runner", 1, 5, 2)
    failed = claims.Written(claim.attempt, text="First words", tokens=1, status=Status.FAILED, reason="error")
    claims.record("runner", {claim.generation_id: failed}, 5)
    assert found(people.alice, "first words") == ["First words"]
    generations.repeat(messages.get(people.alice, turn.answer.public_id), keep_text=False, limits=LIMITS)
    assert found(people.alice, "first words") == []
    assert search_indexes.drift() == 0


def test_every_version_is_found_also_one_that_is_not_shown(people: People) -> None:
    turn = messages.start(people.alice, "First version", "t1", "Hi", LIMITS)
    generations.stop(messages.get(people.alice, turn.answer.public_id))
    messages.edit(people.alice, turn.question, "Second version", "t2", LIMITS)
    assert found(people.alice, "version") == ["Second version", "First version"]


def test_what_is_deleted_is_gone_and_what_is_restored_is_back(people: People) -> None:
    made = talk(people.alice, "word one", "word two", title="Word")
    made_id = made.id
    with write() as session:
        session.execute(update(Conversation).values(deleted_at=now()))
        assert found(people.alice, "word") == []
        assert titles(people.alice, "word") == []
    assert found(people.alice, "word") == []
    with write() as session:
        session.execute(update(Conversation).values(deleted_at=None))
    assert found(people.alice, "word") == ["word two", "word one"]
    assert titles(people.alice, "word") == ["Word"]
    with write() as session:
        session.execute(delete(Conversation).where(Conversation.id == made_id))
        assert found(people.alice, "word") == []
    assert titles(people.alice, "word") == []
    assert search_indexes.drift() == 0


def test_archived_conversations_are_found(people: People) -> None:
    talk(people.alice, "word", title="Word", archived_at=now())
    assert found(people.alice, "word") == ["word"]
    assert titles(people.alice, "word") == ["Word"]


def test_temporary_conversations_are_in_no_index(people: People) -> None:
    talk(people.alice, "word", "word", title="Word", expires_at=now() + timedelta(hours=1))
    assert found(people.alice, "word") == titles(people.alice, "word") == []
    assert search_indexes.drift() == 0
    table = "message_fts_docsize" if db.engine.dialect.name == "sqlite" else "message_search"
    assert db.session.scalar(text(f"SELECT count(*) FROM {table}")) == 0


def test_a_temporary_conversation_that_is_kept_is_found(people: People) -> None:
    made = talk(people.alice, "word one", "word two", title="Word", expires_at=now() + timedelta(hours=1))
    with write():
        conversations.lock(made.id, people.alice.id).expires_at = None
    assert found(people.alice, "word") == ["word two", "word one"]
    assert titles(people.alice, "word") == ["Word"]
    with write():
        conversations.lock(made.id, people.alice.id).expires_at = now() + timedelta(hours=1)
    assert found(people.alice, "word") == titles(people.alice, "word") == []
    assert search_indexes.drift() == 0


def test_another_title_takes_the_place_of_the_first(people: People) -> None:
    made = talk(people.alice, "Hi", title="Old name")
    conversations.rename(made, "New name")
    assert titles(people.alice, "old") == []
    assert titles(people.alice, "new") == ["New name"]


def test_two_identities_that_become_one_find_what_both_had(people: People) -> None:
    talk(people.alice, "word of Alice", title="Word of Alice")
    talk(people.bob, "word of Bob", title="Word of Bob")
    accounts.join(people.bob, people.alice)
    alice = accounts.find("alice-token")
    assert sorted(found(alice, "word")) == ["word of Alice", "word of Bob"]
    assert sorted(titles(people.alice, "word")) == ["Word of Alice", "Word of Bob"]
    assert search_indexes.drift() == 0


def test_a_copied_branch_is_found_twice(people: People) -> None:
    made = talk(people.alice, "word one", "word two", model="acme")
    leaf = db.session.scalars(select(Message).where(Message.id == made.leaf_id)).one()
    copy = branches.copy(people.bob, leaf, "Copy")
    assert found(people.bob, "word") == ["word two", "word one"]
    assert found(people.bob, "model:acme") == ["word two"]
    assert search.find(people.bob, "word").messages[0].conversation_id == copy.id
    assert found(people.alice, "word") == ["word two", "word one"]


def test_what_is_stored_in_bulk_is_found(people: People) -> None:
    """As an import does it: messages first, and who wrote them afterwards."""
    made = talk(people.alice)
    rows = [
        {"conversation_id": made.id, "role": Role.ASSISTANT, "text": f"word {n}", "shown": n == 0} for n in range(20)
    ]
    with write() as session:
        ids = session.scalars(insert(Message).returning(Message.id, sort_by_parameter_order=True), rows).all()
        by_acme = {"user_id": people.alice.id, "status": Status.DONE, "model": "acme"}
        session.execute(insert(Generation), [{**by_acme, "message_id": each} for each in ids])
    assert len(found(people.alice, "word model:acme")) == 20
    assert search_indexes.drift() == 0


def test_the_model_is_the_newest_that_wrote(people: People) -> None:
    made = talk(people.alice, "Hi", "word", model="acme")
    with write() as session:
        session.execute(update(Generation).values(newest=False))
        later = Generation(message_id=made.leaf_id, user_id=people.alice.id, status=Status.DONE, model="other")
        session.add(later)
    assert found(people.alice, "model:acme") == []
    assert found(people.alice, "model:other") == ["word"]


OWNERS = st.lists(st.tuples(st.booleans(), st.sampled_from(["red fox", "red hen", "blue fox"])), max_size=12)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(OWNERS)
def test_everybody_finds_their_own_and_all_of_it(people: People, said: list[tuple[bool, str]]) -> None:
    with write() as session:
        session.execute(delete(Conversation))
    for alices, words in said:
        talk(people.alice if alices else people.bob, words, title=words)
    for alices, user in ((True, people.alice), (False, people.bob)):
        for typed in ("red", "fox", '"blue fox"', "-red", f"u{people.bob.id}", "by:me", "in:title red"):
            _expect(user, typed, [words for theirs, words in said if theirs is alices])


def _expect(user: User, typed: str, theirs: list[str]) -> None:
    """Check that a query finds just those of the user's messages that fit."""
    fits = {
        "red": lambda words: "red" in words,
        "fox": lambda words: "fox" in words,
        '"blue fox"': lambda words: words == "blue fox",
        "-red": lambda words: "red" not in words,
        "by:me": lambda words: True,
    }.get(typed, lambda words: False)
    for sort in Sort:
        assert sorted(found(user, typed, sort=sort, size=50)) == sorted(filter(fits, theirs)), (typed, sort)
    if typed == "in:title red":
        assert sorted(titles(user, typed)) == sorted(words for words in theirs if "red" in words)[:20]


HOSTILE = [
    '"', '""', '"""', "a AND", "AND", "OR", "NOT", "NEAR(a b)", "NEAR(", "*", "a*b", "^a", "a:b", "owner:u1",
    'owner:"u1"', "text:a", "{owner text}:a", "- -a", "+a", "(", ")", "a) OR (b", "'", "';--", "\x00", "a\x00b",
    "\ud800", "é" * 400, "a" * 3000, '" OR owner:"u2', "/u2", "'/u2'", "!a", "a & !b", "a | b", "a <-> b", ":*",
    "a:*", "\\", "\\'", "%", "_", "a\u0301\u0301", "\u202e", "🎉", "½ ª ²", "%s %(x)s {0} :match", "-" * 50,
    '"' * 51, "x " * 300,
]  # fmt: skip


def test_nothing_that_is_typed_breaks_it_or_reaches_others(people: People) -> None:
    talk(people.alice, "mine a b")
    talk(people.bob, "theirs a b", title="theirs a")
    for typed in HOSTILE:
        for query in (typed, f"in:title {typed}", f"model:{typed}", f"tag:{typed}", f"-{typed}", f"a {typed}"):
            for sort in Sort:
                page = search.find(people.alice, query, sort)
                assert {message.text for message in page.messages} <= {"mine a b"}, query
                assert not [each for each in page.titles if each.title == "theirs a"], query


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(max_size=30))
def test_any_text_can_be_looked_for(people: People, typed: str) -> None:
    assert search.find(people.alice, typed).count == 0


def test_what_is_missing_is_counted_and_can_be_mended(people: People) -> None:
    talk(people.alice, "word one", "word two", title="Word")
    sqlite = db.engine.dialect.name == "sqlite"
    left_over = "INSERT INTO message_fts (rowid, owner, text) VALUES (77, 'u1', 'word')"
    for spoil in ("DELETE FROM message_fts", left_over) if sqlite else ("DELETE FROM message_search",):
        with write() as session:
            session.execute(text(spoil))
        assert search_indexes.drift() > 0
        search_indexes.rebuild()
        assert search_indexes.drift() == 0
        assert found(people.alice, "word") == ["word two", "word one"]
        assert titles(people.alice, "word") == ["Word"]
