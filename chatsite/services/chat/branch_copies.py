"""Copies of branches: a conversation that begins with the messages of another one."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import aliased

from chatsite.database import WriteSession, write_transaction
from chatsite.errors import AnswerRunningError, TemporaryChatError, TooManyCopiesError
from chatsite.models import Conversation, Generation, Message, User
from chatsite.models.conversation import MAX_TITLE_CHARS
from chatsite.services import throttles
from chatsite.services.chat import message_tree, reasonings
from chatsite.services.throttles import Rate

# Of a user: a copy may be as long as a conversation, and costs its user one click.
COPY_RATE = Rate(60, 3600.0)


def copy_branch(user: User, leaf: Message, title: str, *, with_prompt_reports: bool = True) -> Conversation:
    """Create a conversation of `user` with copies of the messages from the beginning down to `leaf`.

    The messages may belong to another user; the caller checks access. With `with_prompt_reports` the copies keep their
    prompt reports and reasoning, and the conversation its chat settings. Raises TooManyCopiesError.
    """
    leaf_id, user_id = leaf.id, user.id
    with write_transaction() as tx:
        if not throttles.admit(tx, f"copy:{user_id}", COPY_RATE):
            raise TooManyCopiesError
        source = tx.get_one(Conversation, leaf.conversation_id)
        conversation = Conversation(user_id=user_id, title=title[:MAX_TITLE_CHARS])
        conversation.title_source = source.title_source
        conversation.model, conversation.preset = source.model, source.preset
        if with_prompt_reports:
            conversation.persona, conversation.instructions, conversation.generation_options = (
                source.persona,
                source.instructions,
                source.generation_options,
            )
        tx.add(conversation)
        tx.flush()
        copies = _copy_messages(tx, conversation, message_tree.ancestors(leaf_id)[::-1])
        _copy_generations(tx, user_id, copies, with_prompt_reports=with_prompt_reports)
        if with_prompt_reports:
            reasonings.copy(tx, copies)
        conversation.active_leaf_id = copies[leaf_id]
        return conversation


def fork_conversation(user: User, leaf: Message) -> Conversation:
    """Create a conversation of the user that begins with the branch of one of their messages, down to that message.

    Raises AnswerRunningError if the message is an answer in progress, TemporaryChatError or TooManyCopiesError.
    """
    if leaf.is_in_progress:
        raise AnswerRunningError
    if leaf.conversation.expires_at:
        raise TemporaryChatError
    return copy_branch(user, leaf, leaf.conversation.title)


def _copy_messages(tx: WriteSession, conversation: Conversation, ids: Sequence[int]) -> dict[int, int]:
    """Copy the messages `ids`, given from the top down, into a conversation. Returns the copies' ids by original id."""
    copies: dict[int, int] = {}
    for batch in message_tree.id_batches(ids):
        rows = tx.execute(
            select(Message.id, Message.role, Message.text, Message.created_at)
            .where(Message.id.in_(batch))
            .order_by(Message.id)
        ).all()
        values = [{**row._mapping, "conversation_id": conversation.id, "is_active": False} for row in rows]
        for value in values:
            del value["id"]
        added = tx.scalars(insert(Message).returning(Message.id, sort_by_parameter_order=True), values)
        copies.update(zip([row.id for row in rows], added, strict=True))
    copied = aliased(Message)
    parent_of_copy = (
        select(func.max(copied.id))
        .where(copied.conversation_id == conversation.id, copied.id < Message.id)
        .scalar_subquery()
    )
    update_copies = (
        update(Message).where(Message.conversation_id == conversation.id).execution_options(synchronize_session=False)
    )
    tx.execute(update_copies.values(parent_id=parent_of_copy))
    tx.execute(update_copies.values(is_active=True))
    return copies


def _copy_generations(tx: WriteSession, user_id: int, copies: dict[int, int], *, with_prompt_reports: bool) -> None:
    """Copy the newest generation of each message; without prompt reports only the status and the model.

    `copies` maps the ids of the original messages to the ids of the copies.
    """
    column_names = {"status", "model", "finish_reason", "error", "created_at", "model_changed", "is_latest"}
    if with_prompt_reports:
        not_copied = {
            "id",
            "message_id",
            "user_id",
            "lease_owner",
            "lease_until",
            "cancel_requested",
            "attempts",
            "last_seq",
        }
        column_names = {column.name for column in Generation.__table__.columns} - not_copied
    columns = [Generation.__table__.c[name] for name in sorted(column_names)]
    for batch in message_tree.id_batches(list(copies)):
        query = select(Generation.message_id, *columns).where(Generation.message_id.in_(batch), Generation.is_latest)
        rows = [dict(row._mapping) for row in tx.execute(query)]
        for row in rows:
            row.update(message_id=copies[row["message_id"]], user_id=user_id)
        if rows:
            tx.execute(insert(Generation), rows)
