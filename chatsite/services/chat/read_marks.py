"""Read marks: which conversations have an answer that is being written, or one that finished and was not seen yet.

A conversation remembers when it was last seen (`read_at`), and the answer at the end of its active branch when it
finished. So a runner that finishes an answer writes nothing for this.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select, update

from chatsite.database import db, utcnow, write_transaction
from chatsite.models import IN_PROGRESS, AnonymousUser, Conversation, Generation, Message, Status, Visitor

SEEN_STATUSES = (Status.STOPPED, *IN_PROGRESS)
# Who waits longer for an answer may go elsewhere meanwhile; what finished long ago is no news.
LONG = timedelta(seconds=20)
RECENT = timedelta(minutes=3)


@dataclass(frozen=True)
class ReadMarks:
    """The ids of conversations with an answer in progress, and of those with an answer that was not seen.

    `long` are those of the latter whose answer took long and has just finished.
    """

    writing: frozenset[int] = frozenset()
    unread: frozenset[int] = frozenset()
    long: frozenset[int] = frozenset()


def load_marks(conversations: Iterable[Conversation]) -> ReadMarks:
    """Return the marks of some conversations, by the last answers of their active branches. Takes one query."""
    read_at_by_leaf = {row.active_leaf_id: row.read_at for row in conversations if row.active_leaf_id}
    if not read_at_by_leaf:
        return ReadMarks()
    query = select(
        Message.id, Message.conversation_id, Generation.status, Generation.created_at, Generation.finished_at
    ).join(Generation, Generation.message_id == Message.id)
    rows = db.session.execute(query.where(Message.id.in_(read_at_by_leaf), Generation.is_latest)).all()
    writing = {row.conversation_id for row in rows if row.status in IN_PROGRESS}
    unread = [
        row
        for row in rows
        # What was finished before there were marks has been seen.
        if row.status not in SEEN_STATUSES and (read_at := read_at_by_leaf[row.id]) and row.finished_at > read_at
    ]
    recent = utcnow() - RECENT
    long = {row.conversation_id for row in unread if row.finished_at > max(recent, row.created_at + LONG)}
    return ReadMarks(frozenset(writing), frozenset(row.conversation_id for row in unread), frozenset(long))


def list_writing(user: Visitor) -> list[str]:
    """Return the public ids of the user's conversations with an answer in progress, in a fixed order."""
    if isinstance(user, AnonymousUser):
        return []
    query = (
        select(Conversation.public_id)
        .join(Message, Message.conversation_id == Conversation.id)
        .join(Generation, Generation.message_id == Message.id)
        .where(Generation.user_id == user.id, Generation.status.in_(IN_PROGRESS))
    )
    return sorted(set(db.session.scalars(query)))


def is_unread(conversation: Conversation) -> bool:
    """Return whether the conversation has an answer that finished and was not seen."""
    return conversation.id in load_marks([conversation]).unread


def mark_read(conversation: Conversation) -> None:
    """Remember that a conversation was seen now; does nothing if there is nothing new in it."""
    if not is_unread(conversation):
        return
    # The clock of the machine that wrote the answer may be ahead.
    finished_at = db.session.scalar(
        select(Generation.finished_at).where(Generation.message_id == conversation.active_leaf_id, Generation.is_latest)
    )
    seen = update(Conversation).where(Conversation.id == conversation.id)
    with write_transaction() as tx:
        tx.execute(seen.values(read_at=max(finished_at or utcnow(), utcnow())))
