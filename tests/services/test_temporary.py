"""Temporary conversations: how long they last, where they are not, and that nothing of them stays in a file."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import func, select

from chatsite import database
from chatsite.database import db, now, write
from chatsite.errors import ConversationGoneError, NotTemporaryError, TemporaryChatError
from chatsite.models import Chunk, Conversation, Generation, Message, Status, Undo, User
from chatsite.services import accounts, branches, claims, conversations, drafts, messages, temporary, trash, windows
from chatsite.services.conversations import LIFE
from tests.conftest import LIMITS, People, close, make_app


def answer(*pieces: str, status: Status | None = Status.DONE) -> None:
    """Have the oldest waiting question answered in pieces; without a status the answer is not over."""
    [claim] = claims.claim("runner", 1, 5, 2)
    for piece in pieces:
        claims.record("runner", {claim.generation_id: claims.Written(claim.attempt, text=piece, tokens=1)}, 5)
    if status:
        claims.record("runner", {claim.generation_id: claims.Written(claim.attempt, status=status)}, 5)


def begin(user: User, text: str = "Hush") -> Conversation:
    """A temporary conversation with one answer."""
    conversation = messages.start(user, text, "", text, LIMITS, temporary=True).conversation
    answer(text)
    return conversation


def count(model: type) -> int:
    return db.session.scalar(select(func.count()).select_from(model)) or 0


def left(conversation: Conversation) -> timedelta:
    """How long it still lasts."""
    db.session.refresh(conversation)
    assert conversation.expires_at
    return conversation.expires_at - now()


def test_it_lasts_an_hour_from_the_last_word(people: People) -> None:
    conversation = begin(people.alice)
    assert LIFE - timedelta(minutes=1) < left(conversation) <= LIFE
    with write():
        conversation.expires_at = now() + timedelta(minutes=1)
    messages.post(people.alice, conversation, "More", "", LIMITS)
    assert left(conversation) > LIFE - timedelta(minutes=1)


def test_it_is_over_soon_when_its_page_is_left_and_not_when_the_page_comes_back(people: People) -> None:
    conversation = begin(people.alice)
    temporary.leave(conversation)
    assert left(conversation) <= temporary.GRACE
    temporary.leave(conversation)
    temporary.stay(conversation)
    assert left(conversation) > LIFE - timedelta(minutes=1)
    # Looking at it is no word: it does not last longer by that.
    before = conversation.expires_at
    temporary.stay(conversation)
    db.session.refresh(conversation)
    assert conversation.expires_at == before


def test_it_is_in_no_list(people: People) -> None:
    conversation = begin(people.alice)
    assert not conversations.page(people.alice).items
    assert not conversations.archived(people.alice).items
    assert not trash.page(people.alice).items
    assert conversations.find(people.alice, conversation.public_id)


def test_what_would_leave_a_trace_is_refused(people: People) -> None:
    conversation = begin(people.alice)
    name = conversation.public_id
    leaf = windows.until(conversation).messages[-1]
    for refused in (
        lambda: conversations.pin(people.alice, [name]),
        lambda: conversations.archive(people.alice, [name]),
        lambda: conversations.rename(conversation, "Title"),
        lambda: trash.throw(people.alice, [name]),
        lambda: branches.fork(people.alice, leaf),
    ):
        with pytest.raises(TemporaryChatError):
            refused()
    assert (count(Undo), count(Conversation)) == (0, 1)


def test_what_is_kept_is_an_ordinary_conversation(people: People) -> None:
    conversation = begin(people.alice)
    temporary.keep(conversation)
    temporary.leave(conversation)
    temporary.stay(conversation)
    assert conversation.expires_at is None
    assert [row.id for row in conversations.page(people.alice).items] == [conversation.id]
    with pytest.raises(NotTemporaryError):
        temporary.close(conversation)
    assert not temporary.sweep()
    assert count(Message) == 2


def test_what_is_closed_is_gone_at_once(people: People) -> None:
    """Also while its answer is being written, and drafts of it too."""
    kept = messages.start(people.alice, "Kept", "", "Kept", LIMITS).conversation
    answer("Kept")
    conversation = messages.start(people.alice, "Hush", "form", "Hush", LIMITS, temporary=True).conversation
    drafts.save(conversation, "Hush, not sent", "", "other", 1000)
    answer("Hush", status=None)
    temporary.close(conversation)
    assert (count(Message), count(Generation), count(Chunk)) == (2, 1, 0)
    row = db.session.get_one(Conversation, conversation.id, populate_existing=True)
    assert "Hush" not in repr([getattr(row, column.key) for column in Conversation.__table__.columns])
    for gone in (temporary.close, temporary.keep):
        with pytest.raises(ConversationGoneError):
            gone(row)
    assert not temporary.sweep()
    assert [each.id for each in db.session.scalars(select(Conversation))] == [kept.id]
    # The runner that was writing hears nothing but that it is gone.
    assert claims.standing("runner") == {}


def test_the_sweep_takes_what_is_over_and_nothing_else(people: People) -> None:
    over, open_ = begin(people.alice, "Over"), begin(people.bob, "Open")
    with write():
        over.expires_at = now()
    assert conversations.find(people.alice, over.public_id) is None
    assert not temporary.sweep()
    assert [each.id for each in db.session.scalars(select(Conversation))] == [open_.id]
    with write():
        open_.expires_at = now()
    assert temporary.sweep(most=1)
    assert count(Conversation) == 0


def test_a_very_long_one_goes_piece_by_piece(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporary, "BATCH", 3)
    conversation = begin(people.alice)
    for _ in range(2):
        messages.post(people.alice, conversation, "More", "", LIMITS)
        answer("More")
    temporary.close(conversation)
    assert count(Message) == 3
    assert conversations.find(people.alice, conversation.public_id) is None
    assert temporary.sweep()
    assert not temporary.sweep()
    assert (count(Message), count(Conversation)) == (0, 0)


def test_the_empty_row_stays_until_no_file_holds_anything(app: Flask) -> None:
    """A reader of an older state keeps the log from being emptied; the next sweep sees to it."""
    with app.app_context():
        conversation = begin(accounts.find_or_create("alice"), "ZQXZQX")
        reader = db.engine.raw_connection()
        cursor = reader.cursor()
        cursor.execute("BEGIN")
        cursor.execute("SELECT count(*) FROM message").fetchone()
        temporary.close(conversation)
        assert not temporary.sweep()
        assert count(Message) == 0
        assert count(Conversation) == 1
        db.session.remove()
        cursor.execute("ROLLBACK")
        cursor.close()
        reader.close()
        assert not temporary.sweep()
        assert count(Conversation) == 0
        db.session.remove()


@pytest.mark.parametrize("seed", range(2))
def test_no_file_of_the_database_holds_a_byte_of_it(tmp_path: Path, seed: int) -> None:
    """Among ordinary conversations, with texts that fill pages, rows that grow and answers in many pieces.

    SQLite leaves copies of rows that it moves in unused places, which only writing the file anew takes away.
    """
    chance = random.Random(seed)
    app = make_app(tmp_path, SQLITE_SYNCHRONOUS="OFF")
    with app.app_context():
        users = [accounts.find_or_create(str(number)).id for number in range(3)]
        hushed: list[int] = []
        for _ in range(40):
            hush = chance.random() < 0.6
            word = "ZQX" if hush else "ordinary"
            user = db.session.get_one(User, chance.choice(users))
            text = " ".join([word] * chance.choice([1, 3, 30, 300]))
            turn = messages.start(user, text, "", word, LIMITS, temporary=hush)
            answer(*[f"{word} " * chance.choice([1, 9])] * chance.randint(1, 8))
            if hush:
                hushed.append(turn.conversation.id)
            if hushed and chance.random() < 0.4:
                closed = hushed.pop(chance.randrange(len(hushed)))
                temporary.close(db.session.get_one(Conversation, closed))
        for left_over in hushed:
            temporary.close(db.session.get_one(Conversation, left_over))
        while temporary.sweep():
            pass
        assert count(Conversation) > 5
        db.session.remove()
        found = {path.name: path.read_bytes().count(b"ZQX") for path in tmp_path.rglob("*") if path.is_file()}
    close(app)
    assert sum(found.values()) == 0, found
    assert sum(path.read_bytes().count(b"ordinary") for path in tmp_path.glob("*.db")) > 100


def test_a_large_file_is_not_written_anew(app: Flask) -> None:
    with app.app_context():
        begin(accounts.find_or_create("alice"))
        log_file = Path(f"{db.engine.url.database}-wal")
        assert log_file.stat().st_size > 0
        db.session.remove()
        assert database.rewrite(most=1)
        assert log_file.stat().st_size == 0
