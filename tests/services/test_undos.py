"""Undo puts back what a change took away, once, and for nobody but who made the change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from chatsite.database import db, write
from chatsite.errors import NotFoundError, UndoGoneError
from chatsite.models import Conversation, ConversationTag, Tag, Undo, User
from chatsite.services import conversations, messages, tags, trash, undos
from tests.conftest import LIMITS, People

Change = Callable[[User, list[str]], Undo]


def tag_of(user: User) -> Tag:
    """A tag that some of the conversations have."""
    return tags.create(user, "Work")


CHANGES: dict[str, Change] = {
    "pin": conversations.pin,
    "unpin": lambda user, names: conversations.pin(user, names, pinned=False),
    "archive": conversations.archive,
    "unarchive": lambda user, names: conversations.archive(user, names, archived=False),
    "delete": trash.throw,
    "rename": lambda user, names: conversations.rename(conversations.get(user, names[0]), "Another"),
    "tag": lambda user, names: tags.mark(user, names, tag_of(user)),
    "untag": lambda user, names: tags.mark(user, names, tag_of(user), marked=False),
    "choose": lambda user, names: tags.choose(user, conversations.get(user, names[0]), [], "New one"),
    "edit_tag": lambda user, _names: tags.edit(tag_of(user), "Leisure", "pink"),
    "delete_tag": lambda user, _names: tags.destroy(tag_of(user)),
}


def seed(people: People) -> list[str]:
    """Conversations of all kinds; returns their names."""
    names = []
    for number in range(6):
        turn = messages.start(people.alice, f"Number {number}", str(number), f"Number {number}", LIMITS)
        names.append(turn.conversation.public_id)
        messages.generations.stop(turn.answer)
    conversations.pin(people.alice, names[:2])
    conversations.archive(people.alice, names[1:3])
    tags.mark(people.alice, names[2:5], tag_of(people.alice))
    tags.mark(people.alice, names[4:], tags.create(people.alice, "Home"))
    return names


def state() -> list[Any]:
    """What conversations and their tags are like."""
    columns = (Conversation.public_id, Conversation.title, Conversation.pinned, Conversation.archived_at)
    rows = db.session.execute(select(*columns, Conversation.deleted_at).order_by(Conversation.id)).all()
    marks = select(Conversation.public_id, Tag.public_id, Tag.name, Tag.key, Tag.color, ConversationTag.updated_at)
    marks = marks.join(ConversationTag, ConversationTag.conversation_id == Conversation.id)
    found = db.session.execute(marks.join(Tag, Tag.id == ConversationTag.tag_id)).all()
    return [*map(tuple, rows), *sorted(map(tuple, found))]


@pytest.mark.parametrize("verb", CHANGES)
def test_every_change_can_be_undone_once(people: People, verb: str) -> None:
    names = seed(people)
    before = state()
    undo = CHANGES[verb](people.alice, names)
    name = undo.public_id
    assert state() != before
    assert undos.find(people.alice, name)
    with pytest.raises(NotFoundError):
        undos.undo(people.bob, name)
    with pytest.raises(NotFoundError):
        undos.undo(None, name)
    assert undos.find(people.bob, name) is None
    undos.undo(people.alice, name)
    # A tag that was made for it stays.
    assert state() == before
    assert undos.find(people.alice, name) is None
    with pytest.raises(UndoGoneError):
        undos.undo(people.alice, name)
    assert state() == before


def test_a_change_of_many_is_one_undo(people: People) -> None:
    names = seed(people)
    undo = trash.throw(people.alice, names)
    assert len(undo.before) == 6
    assert len(trash.page(people.alice).items) == 6
    undos.undo(people.alice, undo.public_id)
    assert not trash.page(people.alice).items


def test_what_is_gone_for_good_is_not_put_back_and_the_rest_is(people: People) -> None:
    names = seed(people)
    undo = trash.throw(people.alice, names)
    trash.destroy(people.alice, names[:3])
    undos.undo(people.alice, undo.public_id)
    assert {row.public_id for row in db.session.scalars(select(Conversation))} == set(names[3:])
    assert not trash.page(people.alice).items


def test_a_tag_whose_name_was_taken_meanwhile_is_not_put_back(people: People) -> None:
    seed(people)
    renamed = tags.edit(tag_of(people.alice), "Leisure", "pink")
    tags.create(people.alice, "Work")
    with pytest.raises(UndoGoneError):
        undos.undo(people.alice, renamed.public_id)
    with write():
        found = undos.find(people.alice, renamed.public_id)
        assert found
        assert not found.done
