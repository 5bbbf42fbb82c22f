"""Temporary conversations: how long they last, where they are not, and that nothing of them stays in a file."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import func, select

from chatsite import database
from chatsite.database import db, utcnow, write_transaction
from chatsite.errors import ConversationNotFoundError, NotTemporaryError, TemporaryChatError
from chatsite.models import Chunk, Conversation, Generation, Message, Status, Undo, User
from chatsite.services.accounts import users
from chatsite.services.chat import (
    branch_copies,
    conversations,
    drafts,
    generation_leases,
    message_pages,
    messages,
    temporary,
)
from chatsite.services.chat.conversations import TEMPORARY_LIFETIME
from chatsite.services.chat.generation_update import GenerationUpdate
from chatsite.services.organize import trash
from tests.conftest import LIMITS, People, close_app, make_app


def answer(*pieces: str, status: Status | None = Status.DONE) -> None:
    """Have the oldest waiting question answered in pieces; without a status the answer is not over."""
    [claim] = generation_leases.claim("runner", 1, 5, max_attempts=2)
    for piece in pieces:
        generation_leases.heartbeat(
            "runner",
            {claim.generation_id: GenerationUpdate(claim.attempts, text=piece, new_tokens=1)},
            5,
        )
    if status:
        generation_leases.heartbeat("runner", {claim.generation_id: GenerationUpdate(claim.attempts, status=status)}, 5)


def begin(user: User, text: str = "Hush") -> Conversation:
    """A temporary conversation with one answer."""
    conversation = messages.start_conversation(
        user, messages.NewConversation(text, is_temporary=True), messages.NewMessage(text), limits=LIMITS
    ).conversation
    answer(text)
    return conversation


def count(model: type) -> int:
    return db.session.scalar(select(func.count()).select_from(model)) or 0


def left(conversation: Conversation) -> timedelta:
    """How long it still lasts."""
    db.session.refresh(conversation)
    assert conversation.expires_at
    return conversation.expires_at - utcnow()


def test_lifetime_counts_from_last_message(people: People) -> None:
    conversation = begin(people.alice)
    assert TEMPORARY_LIFETIME - timedelta(minutes=1) < left(conversation) <= TEMPORARY_LIFETIME
    with write_transaction():
        conversation.expires_at = utcnow() + timedelta(minutes=1)
    messages.post_message(people.alice, conversation, messages.NewMessage("More"), limits=LIMITS)
    assert left(conversation) > TEMPORARY_LIFETIME - timedelta(minutes=1)


def test_leaving_page_shortens_lifetime_and_returning_restores_it(people: People) -> None:
    conversation = begin(people.alice)
    temporary.expire_soon(conversation)
    assert left(conversation) <= temporary.LEAVE_GRACE
    temporary.expire_soon(conversation)
    temporary.extend_lifetime(conversation)
    assert left(conversation) > TEMPORARY_LIFETIME - timedelta(minutes=1)
    # Looking at it is no word: it does not last longer by that.
    before = conversation.expires_at
    temporary.extend_lifetime(conversation)
    db.session.refresh(conversation)
    assert conversation.expires_at == before


def test_temporary_chat_is_in_no_list(people: People) -> None:
    conversation = begin(people.alice)
    assert not conversations.list_page(people.alice).items
    assert not conversations.list_archived(people.alice).items
    assert not trash.list_page(people.alice).items
    assert conversations.find(people.alice, conversation.public_id)


def test_actions_leaving_traces_are_rejected(people: People) -> None:
    conversation = begin(people.alice)
    name = conversation.public_id
    leaf = message_pages.page_before(conversation).messages[-1]
    for refused in (
        lambda: conversations.set_pinned(people.alice, [name]),
        lambda: conversations.set_archived(people.alice, [name]),
        lambda: conversations.rename(conversation, "Title"),
        lambda: trash.move_to_trash(people.alice, [name]),
        lambda: branch_copies.fork_conversation(people.alice, leaf),
    ):
        with pytest.raises(TemporaryChatError):
            refused()
    assert (count(Undo), count(Conversation)) == (0, 1)


def test_kept_chat_becomes_regular_conversation(people: People) -> None:
    conversation = begin(people.alice)
    temporary.make_permanent(conversation)
    temporary.expire_soon(conversation)
    temporary.extend_lifetime(conversation)
    assert conversation.expires_at is None
    assert [row.id for row in conversations.list_page(people.alice).items] == [conversation.id]
    with pytest.raises(NotTemporaryError):
        temporary.delete_now(conversation)
    assert not temporary.delete_expired()
    assert count(Message) == 2


def test_closing_deletes_immediately(people: People) -> None:
    """Also while its answer is being written, and drafts of it too."""
    kept = messages.start_conversation(
        people.alice, messages.NewConversation("Kept"), messages.NewMessage("Kept"), limits=LIMITS
    ).conversation
    answer("Kept")
    conversation = messages.start_conversation(
        people.alice,
        messages.NewConversation("Hush", is_temporary=True),
        messages.NewMessage("Hush", "form"),
        limits=LIMITS,
    ).conversation
    drafts.save(conversation, "Hush, not sent", "", idempotency_key="other", max_message_chars=1000)
    answer("Hush", status=None)
    temporary.delete_now(conversation)
    assert (count(Message), count(Generation), count(Chunk)) == (2, 1, 0)
    row = db.session.get_one(Conversation, conversation.id, populate_existing=True)
    assert "Hush" not in repr([getattr(row, column.key) for column in Conversation.__table__.columns])
    for gone in (temporary.delete_now, temporary.make_permanent):
        with pytest.raises(ConversationNotFoundError):
            gone(row)
    assert not temporary.delete_expired()
    assert [each.id for each in db.session.scalars(select(Conversation))] == [kept.id]
    # The runner that was writing hears nothing but that it is gone.
    assert generation_leases.list_held("runner") == {}


def test_cleanup_deletes_only_expired_chats(people: People) -> None:
    over, open_ = begin(people.alice, "Over"), begin(people.bob, "Open")
    with write_transaction():
        over.expires_at = utcnow()
    assert conversations.find(people.alice, over.public_id) is None
    assert not temporary.delete_expired()
    assert [each.id for each in db.session.scalars(select(Conversation))] == [open_.id]
    with write_transaction():
        open_.expires_at = utcnow()
    assert temporary.delete_expired(max_conversations=1)
    assert count(Conversation) == 0


def test_long_chat_is_deleted_in_batches(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporary, "BATCH_SIZE", 3)
    conversation = begin(people.alice)
    for _ in range(2):
        messages.post_message(people.alice, conversation, messages.NewMessage("More"), limits=LIMITS)
        answer("More")
    temporary.delete_now(conversation)
    assert count(Message) == 3
    assert conversations.find(people.alice, conversation.public_id) is None
    assert temporary.delete_expired()
    assert not temporary.delete_expired()
    assert (count(Message), count(Conversation)) == (0, 0)


def test_empty_row_stays_until_wal_is_truncated(app: Flask) -> None:
    """A reader of an older state keeps the log from being emptied; the next sweep sees to it."""
    with app.app_context():
        conversation = begin(users.get_or_create_by_token("alice"), "ZQXZQX")
        reader = db.engine.raw_connection()
        cursor = reader.cursor()
        cursor.execute("BEGIN")
        cursor.execute("SELECT count(*) FROM message").fetchone()
        temporary.delete_now(conversation)
        assert not temporary.delete_expired()
        assert count(Message) == 0
        assert count(Conversation) == 1
        db.session.remove()
        cursor.execute("ROLLBACK")
        cursor.close()
        reader.close()
        assert not temporary.delete_expired()
        assert count(Conversation) == 0
        db.session.remove()


@pytest.mark.parametrize("seed", range(2))
def test_no_database_file_contains_deleted_text(tmp_path: Path, seed: int) -> None:
    """Among ordinary conversations, with texts that fill pages, rows that grow and answers in many pieces.

    SQLite leaves copies of rows that it moves in unused places, which only writing the file anew takes away.
    """
    chance = random.Random(seed)
    app = make_app(tmp_path, SQLITE_SYNCHRONOUS="OFF")
    with app.app_context():
        user_ids = [users.get_or_create_by_token(str(number)).id for number in range(3)]
        hushed: list[int] = []
        for _ in range(40):
            hush = chance.random() < 0.6
            word = "ZQX" if hush else "ordinary"
            user = db.session.get_one(User, chance.choice(user_ids))
            text = " ".join([word] * chance.choice([1, 3, 30, 300]))
            turn = messages.start_conversation(
                user, messages.NewConversation(word, is_temporary=hush), messages.NewMessage(text), limits=LIMITS
            )
            answer(*[f"{word} " * chance.choice([1, 9])] * chance.randint(1, 8))
            if hush:
                hushed.append(turn.conversation.id)
            if hushed and chance.random() < 0.4:
                closed = hushed.pop(chance.randrange(len(hushed)))
                temporary.delete_now(db.session.get_one(Conversation, closed))
        for left_over in hushed:
            temporary.delete_now(db.session.get_one(Conversation, left_over))
        while temporary.delete_expired():
            pass
        assert count(Conversation) > 5
        db.session.remove()
        found = {path.name: path.read_bytes().count(b"ZQX") for path in tmp_path.rglob("*") if path.is_file()}
    close_app(app)
    assert sum(found.values()) == 0, found
    assert sum(path.read_bytes().count(b"ordinary") for path in tmp_path.glob("*.db")) > 100


def test_large_database_file_is_not_rewritten(app: Flask) -> None:
    with app.app_context():
        begin(users.get_or_create_by_token("alice"))
        log_file = Path(f"{db.engine.url.database}-wal")
        assert log_file.stat().st_size > 0
        db.session.remove()
        assert database.vacuum_database(max_bytes=1)
        assert log_file.stat().st_size == 0
