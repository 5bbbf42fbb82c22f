"""Generations as the web handles them: check the queue, enqueue, stop and finish.

`reruns` queues another one for the same message. Runners use `chatsite.services.chat.generation_leases`;
`chatsite.services.chat.generation_progress` reports progress.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.orm import aliased

from chatsite.database import WriteSession, db, utcnow, write_transaction
from chatsite.errors import (
    ChatsiteError,
    NetworkQueueFullError,
    NotFoundError,
    QueueFullError,
    UserQueueFullError,
)
from chatsite.models import IN_PROGRESS, Chunk, Conversation, Generation, Message, Status
from chatsite.services import leases, networks
from chatsite.services.chat import chat_settings, message_tree, reasonings, variations
from chatsite.services.chat.chat_settings import ChatSettings
from chatsite.services.models.choice import ModelChoice
from chatsite.services.networks import Network

# The previous answer is two steps up; a few more steps in case that several questions follow each other.
MAX_STEPS_TO_PREVIOUS_ANSWER = 6
CUT_OFF_REASONS = {"length", "deadline"}
# A fifth of the queue is kept free for those who have nothing in it.
FRACTION_FOR_NEWCOMERS = 5
# PostgreSQL has no write lock, so posts take this one before they count.
ADMISSION_LOCK = 0x63686174
RETRYABLE = {Status.FAILED, Status.INTERRUPTED, Status.STOPPED}
CONTINUABLE = {Status.INTERRUPTED, Status.STOPPED}


@dataclass(frozen=True)
class QueueLimits:
    """Limits of a visitor: characters of one message, and answers in progress of one user, of a network and in all."""

    max_message_chars: int
    max_queued_per_user: int
    max_queued: int
    network: Network | None = None

    @property
    def max_queued_for_others(self) -> int:
        """How many answers all together may have in progress, but for those who have none or few (`check_capacity`)."""
        return self.max_queued - self.max_queued // FRACTION_FOR_NEWCOMERS


def has_answer_in_progress(conversation_id: int) -> bool:
    """Return whether an answer of the conversation is waiting or being written."""
    query = (
        select(Generation.id)
        .join(Message, Message.id == Generation.message_id)
        .where(Message.conversation_id == conversation_id, Generation.status.in_(IN_PROGRESS))
    )
    return db.session.scalar(query.limit(1)) is not None


def check_capacity(tx: WriteSession, user_id: int, limits: QueueLimits, *, new_answers: int = 1) -> None:
    """Check that the queue can take `new_answers` more answers of a user.

    The last places are kept for users who have no answer in progress, and whose network has fewer than one user may
    have: nobody can fill the queue for all others, whatever number of users they make.

    Raises UserQueueFullError if the user has too many answers in progress, NetworkQueueFullError if all users of the
    network have, or QueueFullError if all users together have.
    """
    if tx.get_bind().dialect.name == "postgresql":
        tx.execute(select(func.pg_advisory_xact_lock(ADMISSION_LOCK)))
    active = select(func.count()).where(Generation.status.in_(IN_PROGRESS))
    by_user = tx.scalar(active.where(Generation.user_id == user_id)) or 0
    if by_user + new_answers > limits.max_queued_per_user:
        raise UserQueueFullError
    is_newcomer = by_user == 0
    if limits.network:
        by_network = networks.count_queued(networks.assign(tx, user_id, limits.network))
        if by_network + new_answers > limits.network.max_queued:
            raise NetworkQueueFullError
        is_newcomer = is_newcomer and by_network < limits.max_queued_per_user
    max_queued = limits.max_queued if is_newcomer else limits.max_queued_for_others
    if (tx.scalar(active) or 0) + new_answers > max_queued:
        raise QueueFullError


def stop(message: Message) -> None:
    """Stop the answer of a message; a finished answer stays as it is.

    An answer that waits, or whose lease expired, ends at once; otherwise its runner sees the request at its next tick.
    Raises NotFoundError for a message without a generation.
    """
    message_id = message.id
    with write_transaction() as tx:
        generation = lock_latest(tx, message_id)
        if generation.status is Status.QUEUED or _has_expired_lease(tx, generation):
            finish(tx, generation, Status.STOPPED, finish_reason="cancelled")
        elif generation.is_in_progress:
            generation.cancel_requested = True


def stop_for_conversations(tx: WriteSession, user_id: int, conversation_ids: Collection[int]) -> None:
    """End all answers in progress of these conversations of a user at once; their runners lose the leases."""
    query = select(Generation, Message.conversation_id).join(Message, Message.id == Generation.message_id)
    # The queue bounds a user's answers in progress, but not the conversations: they are no condition of the query.
    for generation, conversation_id in tx.execute(
        query.where(Generation.user_id == user_id, Generation.status.in_(IN_PROGRESS))
    ).all():
        if conversation_id in conversation_ids:
            finish(tx, generation, Status.STOPPED, finish_reason="cancelled")


def can_retry(message: Message) -> bool:
    """Return whether Retry applies: the answer failed, was interrupted or stopped, or was cut off before it began."""
    generation = message.generation
    is_cut = generation is not None and generation.status is Status.DONE and generation.finish_reason in CUT_OFF_REASONS
    return message.status in RETRYABLE or (is_cut and not message.text)


def can_continue(message: Message) -> bool:
    """Return whether Continue applies: the answer has text, and it was cut off, interrupted or stopped."""
    generation = message.generation
    if generation is None or not message.text:
        return False
    cut = generation.status is Status.DONE and generation.finish_reason in CUT_OFF_REASONS
    return cut or generation.status in CONTINUABLE


def enqueue(  # noqa: PLR0913 What is answered, by which model, and with which settings.
    tx: WriteSession,
    answer: Message,
    conversation: Conversation,
    *,
    choice: ModelChoice,
    settings: ChatSettings | None = None,
    keeps_user_instructions: bool = False,
) -> None:
    """Queue a generation of `answer` by the model of `choice`.

    Uses the settings of the conversation unless `settings` is given, and the user's instructions for every chat as they
    are now; with `keeps_user_instructions` those of `settings`. Marks the generation if its model or its settings
    differ from the answer before, or are for this answer alone.
    """
    previous = _find_previous_generation(answer)
    generation = Generation(message_id=answer.id, user_id=conversation.user_id)
    generation.model, generation.preset = choice.model, choice.preset
    if settings is None or not keeps_user_instructions:
        settings = chat_settings.for_next_answer(conversation, choice.known_family, settings)
    chat_settings.apply_to(generation, settings)
    generation.model_changed = previous is not None and choice.model not in {None, previous.model}
    generation.settings_changed = previous is not None and (
        variations.find(generation.instructions) is not None
        or not variations.have_same_effect(chat_settings.read_from(generation), chat_settings.read_from(previous))
    )
    tx.add(generation)


def _find_previous_generation(answer: Message) -> Generation | None:
    """Return the newest generation of the nearest answer above this one on its branch, or None."""
    ancestor_ids = message_tree.ancestors(answer.parent_id, MAX_STEPS_TO_PREVIOUS_ANSWER)
    query = select(Generation).where(Generation.message_id.in_(ancestor_ids), Generation.is_latest)
    return db.session.scalar(query.order_by(Generation.message_id.desc()).limit(1))


def finish(
    tx: WriteSession, generation: Generation, status: Status, *, finish_reason: str, error: ChatsiteError | None = None
) -> None:
    """End a generation with a status and a reason: move its chunks into the message, and end its lease."""
    message = tx.get_one(Message, generation.message_id, populate_existing=True)
    text, reasoning = partial_texts(generation.id)
    message.text += text
    if reasoning:
        token_count, seconds = generation.reasoning_tokens or None, generation.reasoning_seconds
        reasonings.add(tx, message.id, reasoning, token_count=token_count, seconds=seconds)
    tx.execute(delete(Chunk).where(Chunk.generation_id == generation.id))
    generation.status = status
    generation.finish_reason = finish_reason
    generation.error = error
    generation.finished_at = utcnow()
    generation.lease_owner = None
    generation.lease_until = None
    if generation.first_token_at and generation.token_count > 1:
        seconds = (generation.finished_at - generation.first_token_at).total_seconds()
        generation.tokens_per_second = (generation.token_count - 1) / seconds if seconds > 0 else None


def partial_texts(generation_id: int) -> tuple[str, str]:
    """Return the text and the reasoning in the chunks of a generation, which are not part of the message yet."""
    query = select(Chunk.text, Chunk.reasoning).where(Chunk.generation_id == generation_id).order_by(Chunk.seq)
    chunks = db.session.execute(query).all()
    return "".join(chunk.text for chunk in chunks), "".join(chunk.reasoning for chunk in chunks)


def beam_count(generation_id: int) -> int:
    """Return the number of beams that the prompt report of a generation states; 0 if it states none."""
    prompt_report = db.session.scalar(select(Generation.prompt_report).where(Generation.id == generation_id))
    return int(((prompt_report or {}).get("options") or {}).get("beams") or 0)


def is_provisional(generation_id: int) -> bool:
    """Return whether the text of a generation is provisional, so that another text may still replace it."""
    last_chunk = (
        select(Chunk.text, Chunk.restarts).where(Chunk.generation_id == generation_id).order_by(Chunk.seq.desc())
    )
    chunk = db.session.execute(last_chunk.limit(1)).first()
    return chunk is not None and chunk.restarts and chunk.text != ""


def claim_order() -> list[int]:
    """Return the ids of the waiting generations in the order in which runners claim them.

    Users with the fewest generations in progress come first: a user's second question counts as if the first were being
    written already. Among equals the oldest comes first. The queue is bounded, so this reads few rows.
    """
    queued = aliased(Generation)
    running = (
        select(func.count())
        .where(Generation.user_id == queued.user_id, Generation.status == Status.GENERATING)
        .scalar_subquery()
    )
    position = func.row_number().over(partition_by=queued.user_id, order_by=queued.id)
    query = select(queued.id).where(queued.status == Status.QUEUED).order_by(running + position, queued.id)
    return list(db.session.scalars(query))


def lock_latest(tx: WriteSession, message_id: int) -> Generation:
    """Return the newest generation of a message and lock its row. Raises NotFoundError if there is none."""
    generation = tx.scalar(
        select(Generation)
        .where(Generation.message_id == message_id, Generation.is_latest)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if generation is None:
        raise NotFoundError
    return generation


def _has_expired_lease(tx: WriteSession, generation: Generation) -> bool:
    expired = (Generation.status == Status.GENERATING) & leases.has_expired(Generation.lease_until)
    return tx.scalar(select(Generation.id).where(Generation.id == generation.id, expired)) is not None
