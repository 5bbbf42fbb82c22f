"""Generations as the web handles them: admit, stop, try again, continue, follow.

What runners do with them is in `chatsite.services.claims`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, delete, func, select, tuple_
from sqlalchemy.orm import aliased

from chatsite.database import db, now, write
from chatsite.errors import NotFoundError, NotRepeatableError, OwnQueueFullError, QueueFullError
from chatsite.models import ACTIVE, Chunk, Generation, Message, Status

CUT_REASONS = {"length", "deadline"}
RETRYABLE = {Status.FAILED, Status.INTERRUPTED, Status.STOPPED}
CONTINUABLE = {Status.INTERRUPTED, Status.STOPPED}
# Columns and no objects: this is asked many times a second, of all that anybody watches.
FOLLOWED = (
    Generation.id,
    Generation.status,
    Generation.seq,
    Generation.tokens,
    Generation.tokens_per_second,
    Generation.created_at,
    Generation.first_token_at,
    Generation.finished_at,
)
FEW_CHUNKS = 20


@dataclass(frozen=True)
class Limits:
    """What a visitor may: characters of one message, answers of theirs under way, answers under way in all."""

    message_chars: int
    per_user: int
    total: int


def is_running(conversation_id: int) -> bool:
    """Whether an answer of the conversation waits or is being written."""
    query = (
        select(Generation.id)
        .join(Message, Message.id == Generation.message_id)
        .where(Message.conversation_id == conversation_id, Generation.status.in_(ACTIVE))
    )
    return db.session.scalar(query.limit(1)) is not None


def admit(user_id: int, limits: Limits) -> None:
    """Check that the queue has a place. Raises OwnQueueFullError or QueueFullError."""
    active = select(func.count()).where(Generation.status.in_(ACTIVE))
    if (db.session.scalar(active.where(Generation.user_id == user_id)) or 0) >= limits.per_user:
        raise OwnQueueFullError
    if (db.session.scalar(active) or 0) >= limits.total:
        raise QueueFullError


def stop(message: Message) -> None:
    """Ask that the answer be written no further.

    One that still waits, or whose runner is dead, is stopped here and now; otherwise its runner sees the wish at its
    next tick. An answer that is over stays as it is.
    """
    message_id = message.id
    with write():
        generation = _newest(message_id)
        if generation.status is Status.QUEUED or _abandoned(generation):
            settle(generation, Status.STOPPED, "cancelled")
        elif generation.active:
            generation.cancel_requested = True


def can_retry(message: Message) -> bool:
    """Whether Retry makes sense: the answer failed, was interrupted or was stopped."""
    return message.status in RETRYABLE


def can_continue(message: Message) -> bool:
    """Whether Continue makes sense: there is a beginning, and it was not the model that ended it."""
    generation = message.generation
    if generation is None or not message.text:
        return False
    cut = generation.status is Status.DONE and generation.finish_reason in CUT_REASONS
    return cut or generation.status in CONTINUABLE


def repeat(message: Message, keep_text: bool, limits: Limits) -> None:
    """Queue the answer once more: from its beginning, or going on after the text it has (`keep_text`).

    A repeat that is already under way counts as this one. Raises NotRepeatableError when the answer is not the last of
    its conversation or did not end in a way that can be mended, and what `admit` raises.
    """
    message_id = message.id
    with write() as session:
        generation = _newest(message_id)
        if generation.active:
            return
        found = session.get_one(Message, message_id, populate_existing=True)
        allowed = can_continue(found) if keep_text else can_retry(found)
        if not allowed or not _is_last(found):
            raise NotRepeatableError
        admit(generation.user_id, limits)
        generation.newest = False
        session.flush()
        found.text = found.text if keep_text else ""
        session.add(Generation(message_id=message_id, user_id=generation.user_id))


def settle(generation: Generation, status: Status, reason: str, error: str | None = None) -> None:
    """End a generation in the write under way: its chunks become part of the message, whatever the reason."""
    message = db.session.get_one(Message, generation.message_id, populate_existing=True)
    message.text += written(generation.id)
    db.session.execute(delete(Chunk).where(Chunk.generation_id == generation.id))
    generation.status = status
    generation.finish_reason = reason
    generation.error = error
    generation.finished_at = now()
    generation.owner = None
    generation.lease_until = None
    if generation.first_token_at and generation.tokens > 1:
        seconds = (generation.finished_at - generation.first_token_at).total_seconds()
        generation.tokens_per_second = (generation.tokens - 1) / seconds if seconds > 0 else None


def written(generation_id: int) -> str:
    """What a generation has written so far and is not settled yet."""
    query = select(Chunk.text).where(Chunk.generation_id == generation_id).order_by(Chunk.seq)
    return "".join(db.session.scalars(query))


def fair_order() -> list[int]:
    """The waiting generations in the order in which they are to be claimed.

    Whoever has least under way comes first: a visitor's second question counts as if their first were already being
    written. Among equals the oldest comes first. The queue is bounded, so this looks at few rows.
    """
    queued = aliased(Generation)
    running = (
        select(func.count())
        .where(Generation.user_id == queued.user_id, Generation.status == Status.GENERATING)
        .scalar_subquery()
    )
    place = func.row_number().over(partition_by=queued.user_id, order_by=queued.id)
    query = select(queued.id).where(queued.status == Status.QUEUED).order_by(running + place, queued.id)
    return list(db.session.scalars(query))


@dataclass(frozen=True)
class Change:
    """How a generation stands: `text` is what was written after chunk `seq` of the question; `position` counts from 1
    while it waits; `tokens_per_second` is the mean since the first token.
    """

    id: int
    status: Status
    seq: int
    text: str
    tokens: int
    position: int | None
    waited: float
    tokens_per_second: float | None

    @property
    def active(self) -> bool:
        """Whether it still waits or writes."""
        return self.status in ACTIVE


def follow(known: Mapping[int, int]) -> list[Change]:
    """How some generations stand, given the number of the last chunk already known of each. Deleted ones are missing.

    Two or three queries whatever the number of generations.
    """
    if not known:
        return []
    rows = db.session.execute(select(*FOLLOWED).where(Generation.id.in_(known))).all()
    texts = _chunks({row.id: range(known[row.id] + 1, row.seq + 1) for row in rows if row.status in ACTIVE})
    waiting = fair_order() if any(row.status is Status.QUEUED for row in rows) else []
    places = {generation_id: place for place, generation_id in enumerate(waiting, start=1)}
    return [_change(row, known[row.id], texts.get(row.id, []), places.get(row.id)) for row in rows]


def _change(
    row: Row[*tuple[Any, ...]], known_seq: int, chunks: Sequence[tuple[int, str]], position: int | None
) -> Change:
    end = row.finished_at or now()
    speed = row.tokens_per_second
    if row.status in ACTIVE and row.first_token_at and row.tokens > 1:
        speed = (row.tokens - 1) / max((end - row.first_token_at).total_seconds(), 0.001)
    return Change(
        id=row.id,
        status=row.status,
        seq=chunks[-1][0] if chunks else known_seq,
        text="".join(text for _, text in chunks),
        tokens=row.tokens,
        position=position,
        waited=((row.first_token_at or end) - row.created_at).total_seconds(),
        tokens_per_second=speed,
    )


def _chunks(wanted: Mapping[int, range]) -> dict[int, list[tuple[int, str]]]:
    """The chunks of those numbers by generation, in order: where few are wanted in one query, else in one for each."""
    query = select(Chunk.generation_id, Chunk.seq, Chunk.text).order_by(Chunk.generation_id, Chunk.seq)
    few = [(key, seq) for key, seqs in wanted.items() if len(seqs) <= FEW_CHUNKS for seq in seqs]
    queries = [query.where(tuple_(Chunk.generation_id, Chunk.seq).in_(few))] if few else []
    queries += [
        query.where(Chunk.generation_id == key, Chunk.seq.between(seqs[0], seqs[-1]))
        for key, seqs in wanted.items()
        if len(seqs) > FEW_CHUNKS
    ]
    found: dict[int, list[tuple[int, str]]] = {}
    for asked in queries:
        for generation_id, seq, text in db.session.execute(asked):
            found.setdefault(generation_id, []).append((seq, text))
    return found


def _newest(message_id: int) -> Generation:
    found = db.session.scalar(
        select(Generation)
        .where(Generation.message_id == message_id, Generation.newest)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if found is None:
        raise NotFoundError
    return found


def _abandoned(generation: Generation) -> bool:
    expired = generation.lease_until is not None and generation.lease_until < now()
    return generation.status is Status.GENERATING and expired


def _is_last(message: Message) -> bool:
    later = select(Message.id).where(Message.conversation_id == message.conversation_id, Message.id > message.id)
    return db.session.scalar(later.limit(1)) is None
