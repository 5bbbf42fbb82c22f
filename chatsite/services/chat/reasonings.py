"""Reasoning of answers: what a model thought before it answered. It is shown and exported, and never part of a prompt.

It is stored when the generation ends. Until then it is in the chunks of the generation, beside the text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import delete, select

from chatsite.database import WriteSession, db
from chatsite.models import Message, MessageReasoning, Role

# Between what was thought before an answer and before its continuation.
SEPARATOR = "\n\n"
COPY_BATCH_SIZE = 400


def load(messages: Iterable[Message]) -> Mapping[int, MessageReasoning]:
    """Return the reasoning of the answers among some messages, by message id, in one query."""
    ids = [message.id for message in messages if message.role is Role.ASSISTANT]
    if not ids:
        return {}
    rows = db.session.scalars(select(MessageReasoning).where(MessageReasoning.message_id.in_(ids)))
    return {row.message_id: row for row in rows}


def add(tx: WriteSession, message_id: int, text: str, *, token_count: int | None, seconds: float | None) -> None:
    """Store the reasoning of an answer; where there is some already, because it is continued, add it to that."""
    known = tx.get(MessageReasoning, message_id, populate_existing=True)
    if known is None:
        tx.add(MessageReasoning(message_id=message_id, text=text, token_count=token_count, seconds=seconds))
        return
    known.text += SEPARATOR + text
    known.token_count = (known.token_count or 0) + (token_count or 0) or None
    known.seconds = (known.seconds or 0.0) + (seconds or 0.0) or None


def copy(tx: WriteSession, copies: Mapping[int, int]) -> None:
    """Copy the reasoning of answers to copies of them; `copies` has their ids by the ids of the originals."""
    ids = list(copies)
    for start in range(0, len(ids), COPY_BATCH_SIZE):
        batch = ids[start : start + COPY_BATCH_SIZE]
        for row in tx.scalars(select(MessageReasoning).where(MessageReasoning.message_id.in_(batch))).all():
            add(tx, copies[row.message_id], row.text, token_count=row.token_count, seconds=row.seconds)


def discard(tx: WriteSession, message_id: int) -> None:
    """Delete the reasoning of an answer that is written anew."""
    tx.execute(delete(MessageReasoning).where(MessageReasoning.message_id == message_id))
