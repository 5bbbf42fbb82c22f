"""The trash: what is in it, how it is taken back, and how it goes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from chatsite.database import db, now, write
from chatsite.errors import ConversationGoneError, NotFoundError, UndoGoneError
from chatsite.models import Chunk, Conversation, ConversationTag, Generation, Message, Status, Undo
from chatsite.services import branches, claims, conversations, messages, tags, trash, undos
from chatsite.services.messages import Turn
from tests.conftest import LIMITS, People


def start(people: People, text: str = "Hi") -> Turn:
    """A conversation of Alice's whose answer is finished."""
    turn = messages.start(people.alice, text, text, text, LIMITS)
    for claim in claims.claim("runner", 9, 5, 2):
        news = claims.Written(claim.attempt, text="Hello", tokens=1, status=Status.DONE, reason="end")
        claims.record("runner", {claim.generation_id: news}, 5)
    return turn


def count(model: type) -> int:
    """How many rows there are."""
    return db.session.scalar(select(func.count()).select_from(model)) or 0


def age(days: float) -> None:
    """Let time pass for the trash and for what can be undone."""
    with write() as session:
        for row in session.scalars(select(Conversation).where(Conversation.deleted_at.is_not(None))):
            row.deleted_at = row.deleted_at and row.deleted_at - timedelta(days=days)
        session.execute(update(Undo).values(created_at=now() - timedelta(days=days)))


def test_what_is_deleted_exists_for_nobody_until_it_is_taken_back(people: People) -> None:
    turn = start(people)
    name, answer = turn.conversation.public_id, turn.answer.public_id
    trash.throw(people.alice, [name])
    assert conversations.find(people.alice, name) is None
    assert not conversations.page(people.alice).items
    with pytest.raises(NotFoundError):
        messages.get(people.alice, answer)
    assert [row.title for row in trash.page(people.alice).items] == ["Hi"]
    assert not trash.page(people.bob).items
    trash.restore(people.alice, [name])
    assert messages.get(people.alice, answer).text == "Hello"
    assert not trash.page(people.alice).items


def test_the_trash_lists_what_was_deleted_last_first(people: People) -> None:
    for text in ("One", "Two", "Three"):
        start(people, text)
    for row in list(conversations.page(people.alice).items)[::-1]:
        trash.throw(people.alice, [row.public_id])
    first = trash.page(people.alice, size=2)
    rest = trash.page(people.alice, first.next, size=2)
    assert [row.title for row in (*first.items, *rest.items)] == ["Three", "Two", "One"]
    assert rest.next is None


def test_answers_of_what_is_deleted_are_stopped(people: People) -> None:
    waits = messages.start(people.alice, "Waits", "1", "Waits", LIMITS)
    writes = messages.start(people.alice, "Writes", "2", "Writes", LIMITS)
    stays = messages.start(people.alice, "Stays", "3", "Stays", LIMITS)
    # The runner takes one of them, and the others wait.
    [claim] = claims.claim("runner", 1, 5, 2)
    claims.record("runner", {claim.generation_id: claims.Written(1, text="Half", tokens=1)}, 5)
    trash.throw(people.alice, [waits.conversation.public_id, writes.conversation.public_id])
    found = {row.conversation.title: row for row in db.session.scalars(select(Message)) if row.generation}
    assert [found[title].status for title in ("Waits", "Writes")] == [Status.STOPPED] * 2
    assert {row.text for row in found.values()} == {"Half", ""}
    assert claims.record("runner", {claim.generation_id: claims.Written(1, text=" lost", tokens=1)}, 5)
    kept = db.session.get_one(Message, stays.answer.id).generation
    assert kept
    assert kept.active
    assert not kept.cancel_requested


def test_what_is_deleted_for_good_cannot_be_had_back_by_any_way(people: People) -> None:
    turn = start(people)
    name = turn.conversation.public_id
    renamed = conversations.rename(turn.conversation, "A title that must go").public_id
    thrown = trash.throw(people.alice, [name])
    trash.destroy(people.alice, [name])
    for model in (Conversation, Message, Generation, Chunk):
        assert count(model) == 0
    with pytest.raises(UndoGoneError):
        undos.undo(people.alice, thrown.public_id)
    # Not even its title is left.
    with pytest.raises(NotFoundError):
        undos.undo(people.alice, renamed)


def test_a_long_conversation_is_hidden_at_once_and_goes_piece_by_piece(people: People) -> None:
    turn = start(people)
    with write():
        above: int | None = turn.answer.id
        for number in range(40):
            above = branches.put(turn.conversation, above, role="user", text=str(number)).id
    name = turn.conversation.public_id
    thrown = trash.throw(people.alice, [name])
    with write() as session:
        session.execute(update(Conversation).values(deleted_at=trash.EPOCH))
    assert trash.sweep(most=10)
    assert count(Message) == 32
    assert not trash.page(people.alice).items
    for act in (trash.restore, trash.destroy):
        with pytest.raises(ConversationGoneError):
            act(people.alice, [name])
    with pytest.raises(UndoGoneError):
        undos.undo(people.alice, thrown.public_id)
    while trash.sweep(most=10):
        pass
    assert count(Conversation) == count(Message) == 0


def test_only_ones_own_trash_is_emptied(people: People) -> None:
    start(people)
    trash.throw(people.alice, [row.public_id for row in conversations.page(people.alice).items])
    messages.start(people.bob, "Bob", "b", "Bob", LIMITS)
    trash.throw(people.bob, [row.public_id for row in conversations.page(people.bob).items])
    listed = start(people, "Listed")
    trash.empty(people.alice)
    assert not trash.page(people.alice).items
    assert len(trash.page(people.bob).items) == 1
    assert conversations.get(people.alice, listed.conversation.public_id)
    name = trash.page(people.bob).items[0].public_id
    for act in (trash.restore, trash.destroy):
        with pytest.raises(ConversationGoneError):
            act(people.alice, [name])


def test_the_sweep_takes_what_lay_there_for_thirty_days(people: People) -> None:
    for text in ("Old", "Young", "Listed"):
        start(people, text)
    rows = {row.title: row.public_id for row in conversations.page(people.alice).items}
    thrown = trash.throw(people.alice, [rows["Old"]]).public_id
    age(31)
    trash.throw(people.alice, [rows["Young"]])
    age(0)
    assert [row.title for row in trash.page(people.alice).items] == ["Young"]
    assert not trash.sweep()
    assert not undos.sweep()
    assert {row.title for row in db.session.scalars(select(Conversation))} == {"Young", "Listed"}
    age(2)
    undos.sweep()
    assert count(Undo) == 0
    with pytest.raises(NotFoundError):
        undos.undo(people.alice, thrown)


def test_tags_go_with_a_conversation(people: People) -> None:
    turn = start(people)
    tags.choose(people.alice, turn.conversation, [], "Work")
    trash.throw(people.alice, [turn.conversation.public_id])
    trash.empty(people.alice)
    assert count(ConversationTag) == 0
    assert [tag.name for tag in tags.index(people.alice)] == ["Work"]
