"""The index cannot drift: whatever is done to what is stored, in whatever way, is found or not in the same moment."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, text, update

from chatsite.database import db, utcnow, write_transaction
from chatsite.models import Conversation, Generation, Message, Role, Status, User
from chatsite.services.accounts import users
from chatsite.services.chat import branch_copies, conversations, generation_leases, generations, messages, reruns
from chatsite.services.chat.generation_update import GenerationUpdate
from chatsite.services.search import indexes, search
from chatsite.services.search.search import Sort
from chatsite.services.transfer import user_merge
from tests.conftest import LIMITS, People
from tests.search.test_search import found, talk, titles


def test_question_indexed_immediately_and_answer_when_finished(people: People) -> None:
    turn = messages.start_conversation(
        people.alice, messages.NewConversation("Bread"), messages.NewMessage("Where is the bread?", "t1"), limits=LIMITS
    )
    assert found(people.alice, "bread") == ["Where is the bread?"]
    [claim] = generation_leases.claim("runner", 1, 5, max_attempts=2)
    generation_leases.heartbeat(
        "runner",
        {claim.generation_id: GenerationUpdate(claim.attempts, text="In the oven", new_tokens=1)},
        5,
    )
    assert found(people.alice, "oven") == []
    done = GenerationUpdate(claim.attempts, text=".", new_tokens=1, status=Status.DONE, finish_reason="end")
    generation_leases.heartbeat("runner", {claim.generation_id: done}, 5)
    assert found(people.alice, "oven") == ["In the oven."]
    assert search.search(people.alice, "oven").messages[0].id == turn.answer.id


def test_retry_removes_old_text_from_index(people: People) -> None:
    turn = messages.start_conversation(
        people.alice, messages.NewConversation("Hi"), messages.NewMessage("Hi", "t1"), limits=LIMITS
    )
    [claim] = generation_leases.claim("runner", 1, 5, max_attempts=2)
    failed = GenerationUpdate(
        claim.attempts, text="First words", new_tokens=1, status=Status.FAILED, finish_reason="error"
    )
    generation_leases.heartbeat("runner", {claim.generation_id: failed}, 5)
    assert found(people.alice, "first words") == ["First words"]
    reruns.queue(messages.get(people.alice, turn.answer.public_id), keep_text=False, limits=LIMITS)
    assert found(people.alice, "first words") == []
    assert indexes.count_drift() == 0


def test_hidden_versions_are_searchable(people: People) -> None:
    turn = messages.start_conversation(
        people.alice, messages.NewConversation("Hi"), messages.NewMessage("First version", "t1"), limits=LIMITS
    )
    generations.stop(messages.get(people.alice, turn.answer.public_id))
    messages.edit_question(people.alice, turn.question, messages.NewMessage("Second version", "t2"), limits=LIMITS)
    assert found(people.alice, "version") == ["Second version", "First version"]


def test_index_follows_trash_restore_and_delete(people: People) -> None:
    made = talk(people.alice, "word one", "word two", title="Word")
    made_id = made.id
    with write_transaction() as session:
        session.execute(update(Conversation).values(deleted_at=utcnow()))
        assert found(people.alice, "word") == []
        assert titles(people.alice, "word") == []
    assert found(people.alice, "word") == []
    with write_transaction() as session:
        session.execute(update(Conversation).values(deleted_at=None))
    assert found(people.alice, "word") == ["word two", "word one"]
    assert titles(people.alice, "word") == ["Word"]
    with write_transaction() as session:
        session.execute(delete(Conversation).where(Conversation.id == made_id))
        assert found(people.alice, "word") == []
    assert titles(people.alice, "word") == []
    assert indexes.count_drift() == 0


def test_archived_conversations_are_searchable(people: People) -> None:
    talk(people.alice, "word", title="Word", archived_at=utcnow())
    assert found(people.alice, "word") == ["word"]
    assert titles(people.alice, "word") == ["Word"]


def test_temporary_conversations_are_not_indexed(people: People) -> None:
    talk(people.alice, "word", "word", title="Word", expires_at=utcnow() + timedelta(hours=1))
    assert found(people.alice, "word") == titles(people.alice, "word") == []
    assert indexes.count_drift() == 0
    table = "message_fts_docsize" if db.engine.dialect.name == "sqlite" else "message_search"
    assert db.session.scalar(text(f"SELECT count(*) FROM {table}")) == 0


def test_kept_temporary_conversation_is_indexed(people: People) -> None:
    made = talk(people.alice, "word one", "word two", title="Word", expires_at=utcnow() + timedelta(hours=1))
    with write_transaction() as tx:
        conversations.lock(tx, made.id, people.alice.id).expires_at = None
    assert found(people.alice, "word") == ["word two", "word one"]
    assert titles(people.alice, "word") == ["Word"]
    with write_transaction() as tx:
        conversations.lock(tx, made.id, people.alice.id).expires_at = utcnow() + timedelta(hours=1)
    assert found(people.alice, "word") == titles(people.alice, "word") == []
    assert indexes.count_drift() == 0


def test_rename_replaces_title_in_index(people: People) -> None:
    made = talk(people.alice, "Hi", title="Old name")
    conversations.rename(made, "New name")
    assert titles(people.alice, "old") == []
    assert titles(people.alice, "new") == ["New name"]


def test_merged_user_finds_messages_of_both(people: People) -> None:
    talk(people.alice, "word of Alice", title="Word of Alice")
    talk(people.bob, "word of Bob", title="Word of Bob")
    user_merge.merge_users(people.bob, people.alice)
    alice = users.identify_by_token("alice-token")
    assert sorted(found(alice, "word")) == ["word of Alice", "word of Bob"]
    assert sorted(titles(people.alice, "word")) == ["Word of Alice", "Word of Bob"]
    assert indexes.count_drift() == 0


def test_copied_branch_is_indexed_for_both_users(people: People) -> None:
    made = talk(people.alice, "word one", "word two", model="acme")
    leaf = db.session.scalars(select(Message).where(Message.id == made.active_leaf_id)).one()
    copy = branch_copies.copy_branch(people.bob, leaf, "Copy")
    assert found(people.bob, "word") == ["word two", "word one"]
    assert found(people.bob, "model:acme") == ["word two"]
    assert search.search(people.bob, "word").messages[0].conversation_id == copy.id
    assert found(people.alice, "word") == ["word two", "word one"]


def test_bulk_inserted_messages_are_indexed(people: People) -> None:
    """As an import does it: messages first, and who wrote them afterwards."""
    made = talk(people.alice)
    rows = [
        {"conversation_id": made.id, "role": Role.ASSISTANT, "text": f"word {n}", "is_active": n == 0}
        for n in range(20)
    ]
    with write_transaction() as session:
        ids = session.scalars(insert(Message).returning(Message.id, sort_by_parameter_order=True), rows).all()
        by_acme = {"user_id": people.alice.id, "status": Status.DONE, "model": "acme"}
        session.execute(insert(Generation), [{**by_acme, "message_id": each} for each in ids])
    assert len(found(people.alice, "word model:acme")) == 20
    assert indexes.count_drift() == 0


def test_model_filter_uses_newest_generation(people: People) -> None:
    made = talk(people.alice, "Hi", "word", model="acme")
    with write_transaction() as session:
        session.execute(update(Generation).values(is_latest=False))
        later = Generation(message_id=made.active_leaf_id, user_id=people.alice.id, status=Status.DONE, model="other")
        session.add(later)
    assert found(people.alice, "model:acme") == []
    assert found(people.alice, "model:other") == ["word"]


OWNERS = st.lists(st.tuples(st.booleans(), st.sampled_from(["red fox", "red hen", "blue fox"])), max_size=12)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(OWNERS)
def test_users_find_all_and_only_own_messages(people: People, said: list[tuple[bool, str]]) -> None:
    with write_transaction() as session:
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


def test_hostile_queries_neither_fail_nor_leak(people: People) -> None:
    talk(people.alice, "mine a b")
    talk(people.bob, "theirs a b", title="theirs a")
    for typed in HOSTILE:
        for query in (typed, f"in:title {typed}", f"model:{typed}", f"tag:{typed}", f"-{typed}", f"a {typed}"):
            for sort in Sort:
                page = search.search(people.alice, query, search.SearchOptions(sort=sort))
                assert {message.text for message in page.messages} <= {"mine a b"}, query
                assert not [each for each in page.titles if each.title == "theirs a"], query


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(max_size=30))
def test_arbitrary_text_is_a_valid_query(people: People, typed: str) -> None:
    assert search.search(people.alice, typed).result_count == 0


def test_index_drift_is_detected_and_rebuilt(people: People) -> None:
    talk(people.alice, "word one", "word two", title="Word")
    sqlite = db.engine.dialect.name == "sqlite"
    left_over = "INSERT INTO message_fts (rowid, owner, text) VALUES (77, 'u1', 'word')"
    for spoil in ("DELETE FROM message_fts", left_over) if sqlite else ("DELETE FROM message_search",):
        with write_transaction() as session:
            session.execute(text(spoil))
        assert indexes.count_drift() > 0
        indexes.rebuild_indexes()
        assert indexes.count_drift() == 0
        assert found(people.alice, "word") == ["word two", "word one"]
        assert titles(people.alice, "word") == ["Word"]
