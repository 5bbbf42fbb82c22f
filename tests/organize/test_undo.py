"""Undo puts back what a change took away, once, and for nobody but who made the change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from chatsite.database import db, write_transaction
from chatsite.errors import NotFoundError, UndoExpiredError
from chatsite.models import AnonymousUser, Conversation, ConversationTag, Tag, Undo, User
from chatsite.services import undo
from chatsite.services.chat import conversations, generations, messages
from chatsite.services.organize import tags, trash
from tests.conftest import LIMITS, People

Change = Callable[[User, list[str]], Undo]


def tag_of(user: User) -> Tag:
    """A tag that some of the conversations have."""
    return tags.create(user, "Work")


CHANGES: dict[str, Change] = {
    "pin": conversations.set_pinned,
    "unpin": lambda user, names: conversations.set_pinned(user, names, pinned=False),
    "archive": conversations.set_archived,
    "unarchive": lambda user, names: conversations.set_archived(user, names, archived=False),
    "delete": trash.move_to_trash,
    "rename": lambda user, names: conversations.rename(conversations.get(user, names[0]), "Another"),
    "tag": lambda user, names: tags.set_tag(user, names, tag_of(user)),
    "untag": lambda user, names: tags.set_tag(user, names, tag_of(user), is_tagged=False),
    "choose": lambda user, names: tags.set_tags(user, conversations.get(user, names[0]), [], new_name="New one"),
    "edit_tag": lambda user, _names: tags.update(tag_of(user), "Leisure", "pink"),
    "delete_tag": lambda user, _names: tags.delete_tag(tag_of(user)),
}


def seed(people: People) -> list[str]:
    """Conversations of all kinds; returns their names."""
    names = []
    for number in range(6):
        turn = messages.start_conversation(
            people.alice,
            messages.NewConversation(f"Number {number}"),
            messages.NewMessage(f"Number {number}", str(number)),
            limits=LIMITS,
        )
        names.append(turn.conversation.public_id)
        generations.stop(turn.answer)
    conversations.set_pinned(people.alice, names[:2])
    conversations.set_archived(people.alice, names[1:3])
    tags.set_tag(people.alice, names[2:5], tag_of(people.alice))
    tags.set_tag(people.alice, names[4:], tags.create(people.alice, "Home"))
    return names


def state() -> list[Any]:
    """What conversations and their tags are like."""
    columns = (Conversation.public_id, Conversation.title, Conversation.pinned, Conversation.archived_at)
    rows = db.session.execute(select(*columns, Conversation.deleted_at).order_by(Conversation.id)).all()
    marks = select(
        Conversation.public_id, Tag.public_id, Tag.name, Tag.normalized_name, Tag.color, ConversationTag.updated_at
    )
    marks = marks.join(ConversationTag, ConversationTag.conversation_id == Conversation.id)
    found = db.session.execute(marks.join(Tag, Tag.id == ConversationTag.tag_id)).all()
    return [*map(tuple, rows), *sorted(map(tuple, found))]


@pytest.mark.parametrize("verb", CHANGES)
def test_every_change_can_be_undone_once(people: People, verb: str) -> None:
    names = seed(people)
    before = state()
    change = CHANGES[verb](people.alice, names)
    name = change.public_id
    assert state() != before
    assert undo.find_undoable(people.alice, name)
    with pytest.raises(NotFoundError):
        undo.undo_change(people.bob, name)
    with pytest.raises(NotFoundError):
        undo.undo_change(AnonymousUser(), name)
    assert undo.find_undoable(people.bob, name) is None
    undo.undo_change(people.alice, name)
    # A tag that was made for it stays.
    assert state() == before
    assert undo.find_undoable(people.alice, name) is None
    with pytest.raises(UndoExpiredError):
        undo.undo_change(people.alice, name)
    assert state() == before


def test_bulk_change_is_one_undo(people: People) -> None:
    names = seed(people)
    change = trash.move_to_trash(people.alice, names)
    assert len(change.previous) == 6
    assert len(trash.list_page(people.alice).items) == 6
    undo.undo_change(people.alice, change.public_id)
    assert not trash.list_page(people.alice).items


def test_undo_skips_permanently_deleted_conversations(people: People) -> None:
    names = seed(people)
    change = trash.move_to_trash(people.alice, names)
    trash.delete_forever(people.alice, names[:3])
    undo.undo_change(people.alice, change.public_id)
    assert {row.public_id for row in db.session.scalars(select(Conversation))} == set(names[3:])
    assert not trash.list_page(people.alice).items


def test_undo_of_tag_rename_fails_when_name_is_taken(people: People) -> None:
    seed(people)
    renamed = tags.update(tag_of(people.alice), "Leisure", "pink")
    tags.create(people.alice, "Work")
    with pytest.raises(UndoExpiredError):
        undo.undo_change(people.alice, renamed.public_id)
    with write_transaction():
        found = undo.find_undoable(people.alice, renamed.public_id)
        assert found
        assert not found.is_undone


def test_oldest_changes_of_a_user_give_way(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(undo, "MAX_CHANGES", 4)
    names = seed(people)
    conversation = conversations.get(people.alice, names[0])
    foreign = messages.start_conversation(
        people.bob, messages.NewConversation("b"), messages.NewMessage("b"), limits=LIMITS
    ).conversation
    of_bob = conversations.rename(foreign, "Bob's")
    changes = [conversations.rename(conversation, f"Title {number}").public_id for number in range(6)]
    kept = db.session.scalars(select(Undo.public_id).where(Undo.user_id == people.alice.id).order_by(Undo.id)).all()
    assert list(kept) == changes[2:]
    assert undo.find_undoable(people.bob, of_bob.public_id)
    undo.undo_change(people.alice, changes[5])
    assert conversations.get(people.alice, names[0]).title == "Title 4"
