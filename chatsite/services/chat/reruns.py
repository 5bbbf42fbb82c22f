"""Reruns: another generation for the same message, which tries it again, continues it, or writes it faster."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import delete, select

from chatsite.database import WriteSession, db, write_transaction
from chatsite.engine.types import Preset
from chatsite.errors import AnswerRunningError, CannotRerunError
from chatsite.models import Chunk, Conversation, Generation, Message, Status
from chatsite.services.chat import chat_settings, conversations, generations, message_tree, reasonings, variations
from chatsite.services.chat.generations import QueueLimits
from chatsite.services.models.choice import ModelChoice


def queue(message: Message, keep_text: bool, limits: QueueLimits, *, choice: ModelChoice | None = None) -> None:
    """Queue one more generation of a message: from the beginning, or after the text that it has (`keep_text`).

    `choice` is the model that writes; by default the one of the conversation. The branch of the message is active then.
    Does nothing if a generation of it is in progress already. Raises NotFoundError for a message without a generation,
    CannotRerunError if the answer is not the end of its branch or neither Retry nor Continue applies,
    AnswerRunningError while another answer is in progress that is not compared with it, ConversationNotFoundError,
    UserQueueFullError, NetworkQueueFullError or QueueFullError.
    """
    message_id = message.id
    with write_transaction() as tx:
        conversation, generation = _lock(tx, message)
        if generation.is_in_progress:
            return
        answer = tx.get_one(Message, message_id, populate_existing=True)
        can_rerun = generations.can_continue(answer) if keep_text else generations.can_retry(answer)
        if not can_rerun or find_followed([message_id]):
            raise CannotRerunError
        if generations.has_answer_in_progress(conversation.id) and not answer.in_comparison:
            raise AnswerRunningError
        generations.check_capacity(tx, generation.user_id, limits)
        generation.is_latest = False
        tx.flush()
        if not keep_text:
            answer.text = ""
            reasonings.discard(tx, message_id)
        if not answer.is_active and not answer.in_comparison:
            message_tree.activate_branch(tx, conversation, message_id)
        choice = choice or ModelChoice(conversation.model, conversation.preset)
        # A continuation keeps the settings of the generation that began the text, another try what was asked of it.
        settings = (
            chat_settings.read_from(generation)
            if keep_text
            else variations.carry_over(generation.instructions, chat_settings.read_from(conversation))
        )
        generations.enqueue(
            tx, answer, conversation, choice=choice, settings=settings, keeps_user_instructions=keep_text
        )


def find_followed(message_ids: Collection[int]) -> set[int]:
    """Return those of these messages that something follows, on whatever branch; they take new versions instead."""
    if not message_ids:
        return set()
    return set(db.session.scalars(select(Message.parent_id).where(Message.parent_id.in_(message_ids)).distinct()))


def switch_to_fast(message: Message) -> None:
    """Replace a generation whose text is provisional by a sampled one, which starts over.

    Does nothing if the text is not provisional (any more). Raises NotFoundError for a message without a generation, or
    ConversationNotFoundError.
    """
    message_id = message.id
    with write_transaction() as tx:
        conversation, slow = _lock(tx, message)
        if not slow.is_in_progress or not generations.is_provisional(slow.id):
            return
        tx.execute(delete(Chunk).where(Chunk.generation_id == slow.id))
        generations.finish(tx, slow, Status.STOPPED, finish_reason="hastened")
        slow.is_latest = False
        tx.flush()
        answer = tx.get_one(Message, message_id)
        fast_choice = ModelChoice(slow.model, Preset.BALANCED.value)
        settings = chat_settings.read_from(slow)
        generations.enqueue(
            tx, answer, conversation, choice=fast_choice, settings=settings, keeps_user_instructions=True
        )


def _lock(tx: WriteSession, message: Message) -> tuple[Conversation, Generation]:
    """Lock the conversation of a message, so that nothing is posted meanwhile, and then its newest generation.

    Raises ConversationNotFoundError, or NotFoundError for a message without a generation.
    """
    conversation = conversations.lock(tx, message.conversation_id, message.conversation.user_id)
    return conversation, generations.lock_latest(tx, message.id)
