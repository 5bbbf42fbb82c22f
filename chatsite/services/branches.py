"""The tree that the messages of a conversation form: ways up and down in it, versions, and which branch is shown.

Ways are walked by the database, one step a row, and only as far as they are needed: what a page shows of a branch costs
the same whatever the length of the branch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import CTE, Integer, Select, func, insert, literal, select, update
from sqlalchemy.orm import aliased

from chatsite.database import db, write
from chatsite.errors import AnswerRunningError, TemporaryChatError
from chatsite.models import Conversation, Generation, Message, User
from chatsite.models.conversation import TITLE_CHARS
from chatsite.services import conversations

# No branch is as long as this; a walk without a limit has one all the same.
WHOLE = 10_000_000
# Databases bound how many values one statement has.
BATCH = 500


@dataclass(frozen=True)
class Place:
    """Where a message stands among its versions: `number` of `count`, with the ids of those beside it."""

    number: int
    count: int
    previous: str | None
    next: str | None


def ancestors(message_id: int | None, limit: int = WHOLE) -> list[int]:
    """The ids of a message and of those above it, the lowest first, at most `limit` in all."""
    if message_id is None:
        return []
    way = _up(message_id, limit)
    return list(db.session.scalars(select(way.c.id).order_by(way.c.step)))


def descendants(message_id: int, limit: int = WHOLE) -> list[int]:
    """The ids below a message on its shown branch, the uppermost first, at most `limit`."""
    way = _down(message_id, limit)
    return list(db.session.scalars(select(way.c.id).where(way.c.step > 0).order_by(way.c.step)))


def tip(message_id: int) -> int:
    """The id of the last message below a message on its shown branch, or its own."""
    way = _down(message_id, WHOLE)
    found: int = db.session.scalars(select(way.c.id).order_by(way.c.step.desc()).limit(1)).one()
    return found


def root(conversation: Conversation) -> int | None:
    """The id of the first message of the branch that is shown; None when there are no messages."""
    query = select(Message.id).where(
        Message.conversation_id == conversation.id, Message.parent_id.is_(None), Message.shown
    )
    return db.session.scalar(query)


def first_since(conversation: Conversation, moment: datetime) -> int | None:
    """The id of the first message of the shown branch that was written at a moment or later; None if all are older."""
    if conversation.leaf_id is None:
        return None
    way = _up(conversation.leaf_id, WHOLE)
    query = select(way.c.id).join(Message, Message.id == way.c.id).where(Message.created_at >= moment)
    return db.session.scalar(query.order_by(way.c.step.desc()).limit(1))


def places(messages: Iterable[Message]) -> dict[int, Place]:
    """Where each of some messages stands among its versions, by its id; those without other versions are left out."""
    roots: list[int] = []
    others: list[int] = []
    for row in messages:
        (roots if row.parent_id is None else others).append(row.id)
    each, other = aliased(Message), aliased(Message)
    # Two ways of being alike are two queries: one condition for both finds its rows by neither of the indexes.
    first = (other.conversation_id == each.conversation_id) & other.parent_id.is_(None)
    return {**_places(each, other, first, roots), **_places(each, other, other.parent_id == each.parent_id, others)}


def _places(each: Any, other: Any, alike: Any, ids: Sequence[int]) -> dict[int, Place]:
    """The places of the messages `each` of those ids among the `other` messages that are `alike`."""
    if not ids:
        return {}
    number = select(func.count()).where(alike, other.id <= each.id).scalar_subquery()
    count = select(func.count()).where(alike).scalar_subquery()
    previous = select(other.public_id).where(alike, other.id < each.id).order_by(other.id.desc()).limit(1)
    following = select(other.public_id).where(alike, other.id > each.id).order_by(other.id).limit(1)
    query = select(each.id, number, count, previous.scalar_subquery(), following.scalar_subquery())
    return {row[0]: Place(*row[1:]) for row in db.session.execute(query.where(each.id.in_(ids))) if row[2] > 1}


def put(conversation: Conversation, parent_id: int | None, **values: Any) -> Message:
    """Store a message below another one, and show it, in the write under way. It becomes the leaf."""
    _hide_versions(conversation.id, [parent_id])
    message = Message(conversation_id=conversation.id, parent_id=parent_id, shown=True, **values)
    db.session.add(message)
    db.session.flush()
    conversation.leaf_id = message.id
    return message


def show(message: Message) -> Conversation:
    """Show the branch of a message from here on, down to where it was left. Raises ConversationGoneError."""
    message_id, conversation_id, user_id = message.id, message.conversation_id, message.conversation.user_id
    with write():
        conversation = conversations.lock(conversation_id, user_id)
        reveal(conversation, message_id)
        return conversation


def reveal(conversation: Conversation, message_id: int) -> None:
    """Show the branch of a message, in the write under way."""
    way = _up(message_id, WHOLE)
    query = select(Message.id, Message.parent_id).join(way, Message.id == way.c.id).where(~Message.shown)
    hidden = db.session.execute(query).all()
    _hide_versions(conversation.id, [row.parent_id for row in hidden])
    for ids in _batches([row.id for row in hidden]):
        db.session.execute(update(Message).where(Message.id.in_(ids)).values(shown=True))
    conversation.leaf_id = tip(message_id)


def copy(user: User, leaf: Message, title: str, with_receipts: bool = True) -> Conversation:
    """A new conversation of `user` with the messages from the beginning down to `leaf`, whoever's they are.

    With `with_receipts` the copies keep how their answers came about, and who answers next.
    """
    leaf_id, user_id = leaf.id, user.id
    with write() as session:
        source = session.get_one(Conversation, leaf.conversation_id)
        made = Conversation(user_id=user_id, title=title[:TITLE_CHARS])
        made.model, made.preset = source.model, source.preset
        if with_receipts:
            made.persona, made.instructions, made.numbers = source.persona, source.instructions, source.numbers
        session.add(made)
        session.flush()
        copies = _copy_messages(made, ancestors(leaf_id)[::-1])
        _copy_generations(user_id, copies, with_receipts)
        made.leaf_id = copies[leaf_id]
        return made


def fork(user: User, leaf: Message) -> Conversation:
    """A new conversation of the user's that begins as the branch of one of their messages, down to that message.

    Raises AnswerRunningError for an answer that is not finished, and TemporaryChatError.
    """
    if leaf.active:
        raise AnswerRunningError
    if leaf.conversation.expires_at:
        raise TemporaryChatError
    return copy(user, leaf, leaf.conversation.title)


def _copy_messages(made: Conversation, ids: Sequence[int]) -> dict[int, int]:
    """Copy a way from the top down; returns the id of each copy by the id of its original."""
    copies: dict[int, int] = {}
    for batch in _batches(ids):
        rows = db.session.execute(
            select(Message.id, Message.role, Message.text, Message.created_at)
            .where(Message.id.in_(batch))
            .order_by(Message.id)
        ).all()
        values = [{**row._mapping, "conversation_id": made.id, "shown": False} for row in rows]
        for value in values:
            del value["id"]
        added = db.session.scalars(insert(Message).returning(Message.id, sort_by_parameter_order=True), values)
        copies.update(zip([row.id for row in rows], added, strict=True))
    mine = aliased(Message)
    above = select(func.max(mine.id)).where(mine.conversation_id == made.id, mine.id < Message.id).scalar_subquery()
    ours = update(Message).where(Message.conversation_id == made.id).execution_options(synchronize_session=False)
    db.session.execute(ours.values(parent_id=above))
    db.session.execute(ours.values(shown=True))
    return copies


def _copy_generations(user_id: int, copies: dict[int, int], with_receipts: bool) -> None:
    """Copy the newest generation of each message; without receipts only who answered."""
    kept = {"status", "model", "finish_reason", "error", "created_at", "takes_over", "newest"}
    if with_receipts:
        own = {"id", "message_id", "user_id", "owner", "lease_until", "cancel_requested", "attempt", "seq"}
        kept = {column.name for column in Generation.__table__.columns} - own
    columns = [Generation.__table__.c[name] for name in sorted(kept)]
    for batch in _batches(list(copies)):
        query = select(Generation.message_id, *columns).where(Generation.message_id.in_(batch), Generation.newest)
        rows = [dict(row._mapping) for row in db.session.execute(query)]
        for row in rows:
            row.update(message_id=copies[row["message_id"]], user_id=user_id)
        if rows:
            db.session.execute(insert(Generation), rows)


def _hide_versions(conversation_id: int, parents: Sequence[int | None]) -> None:
    """Show none of the messages below these parents (None: at the beginning)."""
    hide = update(Message).where(Message.shown).values(shown=False).execution_options(synchronize_session="fetch")
    if None in parents:
        db.session.execute(hide.where(Message.conversation_id == conversation_id, Message.parent_id.is_(None)))
    for batch in _batches([parent for parent in parents if parent is not None]):
        db.session.execute(hide.where(Message.parent_id.in_(batch)))


def _up(message_id: int, limit: int) -> CTE:
    """The way from a message to the beginning: `id` and `step`, which is 1 for the message itself."""
    start: Select[int, int | None, int] = select(Message.id, Message.parent_id, literal(1, Integer).label("step"))
    way = start.where(Message.id == message_id).cte("up", recursive=True)
    above = select(Message.id, Message.parent_id, way.c.step + 1).join(way, Message.id == way.c.parent_id)
    return way.union_all(above.where(way.c.step < limit))


def _down(message_id: int, limit: int) -> CTE:
    """The way from a message down its shown branch: `id` and `step`, which is 0 for the message itself."""
    way = (
        select(Message.id, literal(0, Integer).label("step"))
        .where(Message.id == message_id)
        .cte("down", recursive=True)
    )
    below = select(Message.id, way.c.step + 1).join(way, Message.parent_id == way.c.id).where(Message.shown)
    return way.union_all(below.where(way.c.step < limit))


def _batches(ids: Sequence[int]) -> Iterable[Sequence[int]]:
    return (ids[start : start + BATCH] for start in range(0, len(ids), BATCH))
