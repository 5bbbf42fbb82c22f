"""Generations as the web handles them: admit, queue, stop, hasten, try again, continue.

What runners do with them is in `chatsite.services.claims`, how they are watched in `chatsite.services.changes`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.orm import aliased

from chatsite.database import db, now, write
from chatsite.engine import Preset
from chatsite.errors import NotFoundError, NotRepeatableError, OwnQueueFullError, QueueFullError
from chatsite.models import ACTIVE, Chunk, Conversation, Generation, Message, Status
from chatsite.services import branches, settings
from chatsite.services.answerers import Answerer
from chatsite.services.settings import Settings

# The answer before is two steps up; a few more in case that questions follow each other.
NEAR = 6
CUT_REASONS = {"length", "deadline"}
RETRYABLE = {Status.FAILED, Status.INTERRUPTED, Status.STOPPED}
CONTINUABLE = {Status.INTERRUPTED, Status.STOPPED}


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


def admit(user_id: int, limits: Limits, places: int = 1) -> None:
    """Check that the queue has so many places. Raises OwnQueueFullError or QueueFullError."""
    active = select(func.count()).where(Generation.status.in_(ACTIVE))
    if (db.session.scalar(active.where(Generation.user_id == user_id)) or 0) + places > limits.per_user:
        raise OwnQueueFullError
    if (db.session.scalar(active) or 0) + places > limits.total:
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


def stop_all(user_id: int, conversation_ids: Collection[int]) -> None:
    """End all answers of some conversations here and now, in the write under way; runners find that they lost them."""
    query = select(Generation, Message.conversation_id).join(Message, Message.id == Generation.message_id)
    # What a user has under way is bounded by the queue, and their conversations are not.
    for generation, conversation_id in db.session.execute(
        query.where(Generation.user_id == user_id, Generation.status.in_(ACTIVE))
    ).all():
        if conversation_id in conversation_ids:
            settle(generation, Status.STOPPED, "cancelled")


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


def queue(answer: Message, conversation: Conversation, answerer: Answerer, wishes: Settings | None = None) -> None:
    """Have `answerer` write an answer, in the write under way: by the settings of its conversation, or by `wishes`."""
    earlier = _before(answer)
    generation = Generation(message_id=answer.id, user_id=conversation.user_id)
    generation.model, generation.preset = answerer.model, answerer.preset
    settings.put(generation, wishes or settings.of(conversation))
    generation.takes_over = earlier is not None and answerer.model not in {None, earlier.model}
    generation.resets = earlier is not None and not settings.alike(settings.of(generation), settings.of(earlier))
    db.session.add(generation)


def _before(answer: Message) -> Generation | None:
    """The newest generation of the answer before this one on its branch."""
    above = branches.ancestors(answer.parent_id, NEAR)
    query = select(Generation).where(Generation.message_id.in_(above), Generation.newest)
    return db.session.scalar(query.order_by(Generation.message_id.desc()).limit(1))


def repeat(message: Message, keep_text: bool, limits: Limits, answerer: Answerer | None = None) -> None:
    """Queue the answer once more: from its beginning, or going on after the text it has (`keep_text`).

    `answerer` writes it, or else who answers in its conversation.

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
        talk = found.conversation
        # What goes on with a text goes on by the settings of who began it.
        wishes = settings.of(generation if keep_text else talk)
        queue(found, talk, answerer or Answerer(talk.model, talk.preset), wishes)


def hasten(message: Message) -> None:
    """Have an answer that is still a draft written the quick way instead, from its beginning.

    An answer that is no draft is left as it is: it was decided meanwhile, or somebody pressed twice.
    """
    message_id = message.id
    with write() as session:
        slow = _newest(message_id)
        if not slow.active or not undecided(slow.id):
            return
        session.execute(delete(Chunk).where(Chunk.generation_id == slow.id))
        settle(slow, Status.STOPPED, "hastened")
        slow.newest = False
        session.flush()
        answer = session.get_one(Message, message_id)
        quick = Answerer(slow.model, Preset.BALANCED.value)
        queue(answer, answer.conversation, quick, settings.of(slow))


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


def beams(generation_id: int) -> int:
    """How many answers are weighed against each other, as far as its receipt tells; 0 when it tells nothing."""
    receipt = db.session.scalar(select(Generation.receipt).where(Generation.id == generation_id))
    return int(((receipt or {}).get("options") or {}).get("beams") or 0)


def undecided(generation_id: int) -> bool:
    """Whether what a generation has written so far is a draft, which may yet become another text."""
    newest = select(Chunk.text, Chunk.fresh).where(Chunk.generation_id == generation_id).order_by(Chunk.seq.desc())
    found = db.session.execute(newest.limit(1)).first()
    return found is not None and found.fresh and found.text != ""


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
    below = select(Message.id).where(Message.parent_id == message.id)
    return db.session.scalar(below.limit(1)) is None
