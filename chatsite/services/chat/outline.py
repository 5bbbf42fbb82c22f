"""The outline of a branch: its questions, or in a long conversation some of them, spread over all of it.

A long branch is not walked: ids of messages are looked up between those that are known, and between those again. So
ten thousand messages cost as much as five hundred.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import TypeVar

from sqlalchemy import Row, func, select, union_all

from chatsite.database import db
from chatsite.models import Conversation, Message, Role
from chatsite.services.chat import branches, message_tree

T = TypeVar("T")

MAX_QUESTIONS = 60
# A branch of so many messages is walked, and all of its questions are known.
MAX_WALKED = 400
# Each round doubles the number of known messages.
ROUNDS = 6
TEXT_CHARS = 200


@dataclass(frozen=True)
class OutlineEntry:
    """A question with the beginning of its text."""

    public_id: str
    text: str
    created_at: datetime


@dataclass(frozen=True)
class Outline:
    """The questions of a branch in their order. `is_sampled` says that there are more than these."""

    entries: Sequence[OutlineEntry]
    is_sampled: bool


def load_outline(conversation: Conversation, shown: Message | None = None) -> Outline:
    """Return the outline of the active branch, or of the branch of the message `shown`."""
    ids, is_complete = _list_ids(conversation, shown)
    questions = _load_questions(ids)
    entries = [OutlineEntry(row.public_id, row.text, row.created_at) for row in _thin_out(questions, MAX_QUESTIONS)]
    return Outline(entries, is_sampled=not is_complete or len(questions) > MAX_QUESTIONS)


def _list_ids(conversation: Conversation, shown: Message | None) -> tuple[Sequence[int], bool]:
    """Return ids of messages of a branch from its beginning, and whether these are all of them.

    An id is greater than those of all messages above it. A long branch that is not the active one is walked: there are
    few of them, and few conversations have more than `message_tree.MAX_MESSAGES`.
    """
    other = branches.map_other_branches(conversation)
    if shown is not None and (other is None or shown.id in other):
        ids = sorted(message_tree.ancestors(message_tree.get_leaf_id(shown.id)))
        return _thin_out(ids, MAX_WALKED), len(ids) <= MAX_WALKED
    ids = sorted(message_tree.ancestors(conversation.active_leaf_id, MAX_WALKED + 1))
    if len(ids) <= MAX_WALKED:
        return ids, True
    return [message_id for message_id in _spread_ids(conversation) if message_id not in (other or {})], False


def _spread_ids(conversation: Conversation) -> list[int]:
    """Return the ids of some messages of a conversation, spread over the order in which they were stored.

    Ids belong to all conversations of the site, so they have gaps: the two messages around the middle of a gap between
    two known ones are looked up, until there are enough.
    """
    known = [message_tree.find_root_id(conversation) or 0, conversation.active_leaf_id or 0]
    for _ in range(ROUNDS):
        middles = [(low + high) // 2 for low, high in pairwise(known) if high - low > 1]
        known = sorted({*known, *_find_neighbors(conversation, middles)})
    return known


def _find_neighbors(conversation: Conversation, middles: Sequence[int]) -> Sequence[int]:
    """Return the ids of the messages of a conversation right before and right after each number in `middles`."""
    if not middles:
        return []
    mine = Message.conversation_id == conversation.id
    queries = [
        select(edge.label("id")).where(mine, condition)
        for middle in middles
        for edge, condition in (
            (func.max(Message.id), Message.id <= middle),
            (func.min(Message.id), Message.id > middle),
        )
    ]
    return [found for found in db.session.scalars(union_all(*queries)) if found is not None]


def _load_questions(ids: Sequence[int]) -> Sequence[Row[tuple[str, str, datetime]]]:
    """Return the questions among the messages `ids`, and those that the answers among them follow."""
    asked = select(Message.parent_id).where(Message.id.in_(ids), Message.role == Role.ASSISTANT)
    columns = (
        Message.id,
        Message.public_id,
        func.substr(Message.text, 1, TEXT_CHARS).label("text"),
        Message.created_at,
    )
    parents = db.session.scalars(asked.where(Message.parent_id.is_not(None))).all()
    wanted = {*ids, *parents}
    query = select(*columns).where(Message.id.in_(wanted), Message.role == Role.USER)
    return db.session.execute(query.order_by(Message.id)).all()


def _thin_out(items: Sequence[T], count: int) -> Sequence[T]:
    """Return at most `count` of the items, evenly, the first and the last among them."""
    if len(items) <= count:
        return items
    return [items[number * (len(items) - 1) // (count - 1)] for number in range(count)]
