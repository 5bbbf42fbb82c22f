"""Message trees: paths up and down the messages of a conversation, versions, and the active branch.

The database walks the paths, one step a row, and only as far as needed: a page of a branch costs the same for any
length of the branch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import CTE, Integer, Select, case, func, literal, select, update
from sqlalchemy.orm import aliased

from chatsite.database import WriteSession, db, write_transaction
from chatsite.errors import ConversationFullError
from chatsite.models import Conversation, Message
from chatsite.services.chat import conversations

# Longer than any branch: the recursive queries always have a limit.
NO_LIMIT = 10_000_000
# How long a conversation may grow here. An imported one may be longer, within the bounds of its format: it is read as
# it is, since nothing of it may be lost, and takes no more messages.
MAX_MESSAGES = 20_000
# Databases limit the number of parameters of one statement.
BATCH_SIZE = 500


@dataclass(frozen=True)
class VersionPosition:
    """Position of a message among its versions: `number` of `count`, with the public ids of its neighbors."""

    number: int
    count: int
    previous: str | None
    next: str | None


def ancestors(message_id: int | None, limit: int = NO_LIMIT) -> list[int]:
    """Return the ids of a message and its ancestors, the lowest first, at most `limit`; empty for None."""
    if message_id is None:
        return []
    path = _path_to_root(message_id, limit)
    return list(db.session.scalars(select(path.c.id).order_by(path.c.step)))


def descendants(message_id: int, limit: int = NO_LIMIT) -> list[int]:
    """Return the ids of the messages below a message on its active branch, the uppermost first, at most `limit`."""
    path = _path_to_leaf(message_id, limit)
    return list(db.session.scalars(select(path.c.id).where(path.c.step > 0).order_by(path.c.step)))


def shown_lengths(ids: Sequence[int]) -> dict[int, int]:
    """Return how many characters each message shows, by id: its own, or those of all answers it is compared with.

    The texts are not loaded.
    """
    compared = aliased(Message)
    compared_length = (
        select(func.sum(func.length(compared.text)))
        .where(compared.parent_id == Message.parent_id, compared.in_comparison)
        .scalar_subquery()
    )
    length = case((Message.in_comparison, compared_length), else_=func.length(Message.text))
    lengths: dict[int, int] = {}
    for start in range(0, len(ids), BATCH_SIZE):
        query = select(Message.id, length).where(Message.id.in_(ids[start : start + BATCH_SIZE]))
        lengths |= {row[0]: row[1] or 0 for row in db.session.execute(query)}
    return lengths


def get_leaf_id(message_id: int) -> int:
    """Return the id of the last message below a message on its active branch; its own id if nothing is below."""
    path = _path_to_leaf(message_id, NO_LIMIT)
    leaf_id: int = db.session.scalars(select(path.c.id).order_by(path.c.step.desc()).limit(1)).one()
    return leaf_id


def find_root_id(conversation: Conversation) -> int | None:
    """Return the id of the first message of the active branch; None if there are no messages."""
    query = select(Message.id).where(
        Message.conversation_id == conversation.id, Message.parent_id.is_(None), Message.is_active
    )
    return db.session.scalar(query)


def count_messages(conversation: Conversation) -> int:
    """Return how many messages a conversation has, all versions counted; imported ones may exceed MAX_MESSAGES."""
    return db.session.scalar(select(func.count(Message.id)).where(Message.conversation_id == conversation.id)) or 0


def find_first_message_since(conversation: Conversation, since: datetime) -> int | None:
    """Return the id of the first message of the active branch that is not older than `since`; None if all are older."""
    if conversation.active_leaf_id is None:
        return None
    path = _path_to_root(conversation.active_leaf_id, NO_LIMIT)
    query = select(path.c.id).join(Message, Message.id == path.c.id).where(Message.created_at >= since)
    return db.session.scalar(query.order_by(path.c.step.desc()).limit(1))


def version_positions(messages: Iterable[Message]) -> dict[int, VersionPosition]:
    """Return the position of each message among its versions, by id; messages with a single version are left out."""
    roots: list[int] = []
    others: list[int] = []
    for row in messages:
        (roots if row.parent_id is None else others).append(row.id)
    version, sibling = aliased(Message), aliased(Message)
    # First messages have siblings by conversation, others by parent. One query with an OR would use neither index.
    same_conversation_root = (sibling.conversation_id == version.conversation_id) & sibling.parent_id.is_(None)
    return {
        **_version_positions(version, sibling, same_conversation_root, ids=roots),
        **_version_positions(version, sibling, sibling.parent_id == version.parent_id, ids=others),
    }


def _version_positions(
    version: Any, sibling: Any, are_siblings: Any, *, ids: Sequence[int]
) -> dict[int, VersionPosition]:
    """Return the positions of the messages `ids` among their siblings, by id.

    `version` and `sibling` are aliases of Message, and `are_siblings` is the condition that joins them.
    """
    if not ids:
        return {}
    number = select(func.count()).where(are_siblings, sibling.id <= version.id).scalar_subquery()
    count = select(func.count()).where(are_siblings).scalar_subquery()
    previous = (
        select(sibling.public_id).where(are_siblings, sibling.id < version.id).order_by(sibling.id.desc()).limit(1)
    )
    following = select(sibling.public_id).where(are_siblings, sibling.id > version.id).order_by(sibling.id).limit(1)
    query = select(version.id, number, count, previous.scalar_subquery(), following.scalar_subquery())
    return {
        row[0]: VersionPosition(*row[1:]) for row in db.session.execute(query.where(version.id.in_(ids))) if row[2] > 1
    }


def is_followed_by_others(answer: Message) -> bool:
    """Return whether a question was posted after an answer, or after the active one of its versions."""
    version, following = aliased(Message), aliased(Message)
    query = select(following.id).join(version, following.parent_id == version.id)
    query = query.where(version.parent_id == answer.parent_id, version.is_active | (version.id == answer.id))
    return db.session.scalar(query.limit(1)) is not None


def require_room(conversation: Conversation, new_messages: int) -> None:
    """Check that a conversation can take so many more messages, all versions counted. Raises ConversationFullError."""
    by_age = select(Message.id).where(Message.conversation_id == conversation.id).order_by(Message.id)
    if db.session.scalar(by_age.offset(MAX_MESSAGES - new_messages).limit(1)) is not None:
        raise ConversationFullError(most=MAX_MESSAGES)


def add_message(tx: WriteSession, conversation: Conversation, parent_id: int | None, **values: Any) -> Message:
    """Store a message below another one (None: as a first message), activate it, and make it the active leaf."""
    _deactivate_siblings(tx, conversation.id, [parent_id])
    message = Message(conversation_id=conversation.id, parent_id=parent_id, is_active=True, **values)
    tx.add(message)
    tx.flush()
    conversation.active_leaf_id = message.id
    return message


def show_branch(message: Message) -> Conversation:
    """Activate the branch of a message, down to the leaf that was last active. Raises ConversationNotFoundError."""
    message_id, conversation_id, user_id = message.id, message.conversation_id, message.conversation.user_id
    with write_transaction() as tx:
        conversation = conversations.lock(tx, conversation_id, user_id)
        activate_branch(tx, conversation, message_id)
        return conversation


def activate_branch(tx: WriteSession, conversation: Conversation, message_id: int) -> None:
    """Activate the branch of a message: the message, its ancestors, and its active descendants."""
    path = _path_to_root(message_id, NO_LIMIT)
    # Written so that no database begins with the index of inactive messages, which holds those of everybody.
    is_inactive = case((Message.is_active, 0), else_=1) == 1
    query = select(Message.id, Message.parent_id).join(path, Message.id == path.c.id).where(is_inactive)
    inactive = tx.execute(query).all()
    _deactivate_siblings(tx, conversation.id, [row.parent_id for row in inactive])
    for ids in id_batches([row.id for row in inactive]):
        tx.execute(update(Message).where(Message.id.in_(ids)).values(is_active=True))
    conversation.active_leaf_id = get_leaf_id(message_id)


def _deactivate_siblings(tx: WriteSession, conversation_id: int, parent_ids: Sequence[int | None]) -> None:
    """Deactivate all messages directly below these parents; None stands for the first messages."""
    deactivate = (
        update(Message).where(Message.is_active).values(is_active=False).execution_options(synchronize_session="fetch")
    )
    if None in parent_ids:
        tx.execute(deactivate.where(Message.conversation_id == conversation_id, Message.parent_id.is_(None)))
    for batch in id_batches([parent for parent in parent_ids if parent is not None]):
        tx.execute(deactivate.where(Message.parent_id.in_(batch)))


def _path_to_root(message_id: int, limit: int) -> CTE:
    """Return a CTE of the path from a message up to the first one: `id` and `step`, 1 for the message itself."""
    start: Select[int, int | None, int] = select(Message.id, Message.parent_id, literal(1, Integer).label("step"))
    path = start.where(Message.id == message_id).cte("up", recursive=True)
    above = select(Message.id, Message.parent_id, path.c.step + 1).join(path, Message.id == path.c.parent_id)
    return path.union_all(above.where(path.c.step < limit))


def _path_to_leaf(message_id: int, limit: int) -> CTE:
    """Return a CTE of the path from a message down its active branch: `id` and `step`, 0 for the message itself."""
    path = (
        select(Message.id, literal(0, Integer).label("step"))
        .where(Message.id == message_id)
        .cte("down", recursive=True)
    )
    below = select(Message.id, path.c.step + 1).join(path, Message.parent_id == path.c.id).where(Message.is_active)
    return path.union_all(below.where(path.c.step < limit))


def id_batches(ids: Sequence[int]) -> Iterable[Sequence[int]]:
    """Yield the ids in parts that one statement can take."""
    return (ids[start : start + BATCH_SIZE] for start in range(0, len(ids), BATCH_SIZE))
