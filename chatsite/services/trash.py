"""The trash: what is deleted stays there for thirty days, and can be taken back.

What is deleted for good has the earliest `deleted_at` there is: from then on nobody sees it, and the sweep takes it
away piece by piece, however much it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Delete, delete, select, text, update

from chatsite.database import db, now, scrub, write
from chatsite.models import Conversation, Message, Undo, User
from chatsite.models.conversation import TRASHED
from chatsite.services import conversations, generations, undos
from chatsite.services.paging import BATCH, EPOCH, Page, newest

KEPT = timedelta(days=30)
# So many conversations are looked at in one write of the sweep.
CONVERSATIONS = 100


def throw(user: User, names: Sequence[str]) -> Undo:
    """Put conversations into the trash and stop their answers. Raises what `conversations.hold` raises."""
    user_id = user.id
    with write():
        undo = conversations.change(user, names, "delete", deleted_at=now())
        generations.stop_all(user_id, {entry["conversation"] for entry in undo.before})
        return undo


def page(user: User, before: str | None = None, size: int = conversations.PAGE_SIZE) -> Page[Conversation]:
    """What lies in the trash, the last deleted first. Raises NotFoundError as `conversations.page` does."""
    query = select(Conversation).where(Conversation.user_id == user.id, text(TRASHED), lies_there())
    return newest(query, Conversation.deleted_at, Conversation.id, before, size)


def restore(user: User, names: Sequence[str]) -> Undo:
    """Take conversations out of the trash, back to where they were. Raises what `conversations.hold` raises."""
    return conversations.change(user, names, "restore", lies_there(), deleted_at=None)


def destroy(user: User, names: Sequence[str]) -> None:
    """Delete conversations in the trash for good. Raises what `conversations.hold` raises."""
    user_id = user.id
    with write():
        for row in conversations.hold(user_id, names, lies_there()):
            row.deleted_at = EPOCH
        # No title of what is gone is left in what can be undone.
        undos.forget(user_id, "rename")
    sweep()


def empty(user: User) -> None:
    """Delete all that lies in the user's trash for good."""
    user_id = user.id
    with write():
        undos.forget(user_id, "rename")
    while _doom(user_id):
        pass
    sweep()


def sweep(most: int = BATCH) -> bool:
    """Take away some of what was deleted for good or lay in the trash for too long, at most so many messages.

    Returns whether there is more.
    """
    with write() as session:
        due = select(Conversation.id).where(text(TRASHED), Conversation.deleted_at <= _oldest())
        ids = session.scalars(due.order_by(Conversation.deleted_at).limit(CONVERSATIONS)).all()
        messages, emptied = _pieces(ids, most)
        session.execute(_delete(Message).where(Message.id.in_(messages)))
        session.execute(_delete(Conversation).where(Conversation.id.in_(emptied)))
    if ids:
        scrub()
    return len(emptied) < len(ids) or len(ids) == CONVERSATIONS


def leaves_at(conversation: Conversation) -> datetime:
    """When a conversation in the trash goes by itself."""
    return (conversation.deleted_at or now()) + KEPT


def lies_there() -> ColumnElement[bool]:
    """What is true of conversations in the trash that can be taken back."""
    return Conversation.deleted_at > _oldest()


def _oldest() -> datetime:
    return now() - KEPT


def _doom(user_id: int) -> bool:
    """Delete some of the user's trash for good; returns whether there may be more."""
    with write() as session:
        theirs = select(Conversation.id).where(Conversation.user_id == user_id, text(TRASHED), lies_there())
        ids = session.scalars(theirs.order_by(Conversation.deleted_at.desc()).limit(BATCH)).all()
        rows = update(Conversation).where(Conversation.id.in_(ids)).values(deleted_at=EPOCH)
        session.execute(rows.execution_options(synchronize_session=False))
        return len(ids) == BATCH


def _pieces(ids: Sequence[int], most: int) -> tuple[list[int], list[int]]:
    """Of some conversations so many messages as may go at once, and the conversations that have no others."""
    messages: list[int] = []
    emptied: list[int] = []
    for conversation_id in ids:
        # Newest first: a message is older than those below it, which the database would not let it leave behind.
        newest_first = select(Message.id).where(Message.conversation_id == conversation_id).order_by(Message.id.desc())
        found = db.session.scalars(newest_first.limit(most - len(messages) + 1)).all()
        messages += found[: most - len(messages)]
        if len(messages) == most:
            break
        emptied.append(conversation_id)
    return messages, emptied


def _delete(model: type[Conversation | Message]) -> Delete:
    return delete(model).execution_options(synchronize_session=False)
