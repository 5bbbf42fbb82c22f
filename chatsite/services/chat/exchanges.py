"""Exchanges: a question and the answer that is queued for it, as they are stored together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

from chatsite.database import WriteSession, db
from chatsite.errors import EmptyMessageError, MessageTooLongError, NotFoundError
from chatsite.models import Conversation, Message, Role, WaitingMessage
from chatsite.services.chat import comparisons, conversations, generations, message_pages, message_tree
from chatsite.services.chat.chat_settings import ChatSettings
from chatsite.services.chat.generations import QueueLimits
from chatsite.services.models.choice import ModelChoice
from chatsite.services.text import clean_text
from chatsite.visible_text import has_visible_text

MAX_IDEMPOTENCY_KEY_CHARS = 64


@dataclass(frozen=True)
class NewMessage:
    """A question as submitted by a form.

    `idempotency_key` identifies the form: the same key again returns the same exchange. `draft_version` is the
    fingerprint of the draft that is sent. `parent_id` is the public id of the last message that the user saw: the
    question is added to the end of its branch, or of the active branch if None. The models of `compare_with` answer as
    well, for a comparison. `choice` and `settings` are for this question only; by default those of the conversation
    apply.
    """

    text: str
    idempotency_key: str = ""
    draft_version: str = ""
    parent_id: str | None = None
    compare_with: Sequence[ModelChoice] = ()
    choice: ModelChoice | None = None
    settings: ChatSettings | None = None

    @property
    def stored_key(self) -> str | None:
        """The idempotency key, shortened to the length of its column; None if it is empty."""
        return self.idempotency_key[:MAX_IDEMPOTENCY_KEY_CHARS] or None


@dataclass(frozen=True)
class Exchange:
    """A question, the answer that was queued for it, and whether the same post had been stored before."""

    conversation: Conversation
    question: Message
    answer: Message
    is_duplicate: bool = False


def normalize_text(text: str, max_chars: int) -> str:
    """Return the text of a message as it is stored (`clean_text`).

    Raises EmptyMessageError, or MessageTooLongError for more than `max_chars` characters.
    """
    text = clean_text(text)
    if not has_visible_text(text):
        raise EmptyMessageError
    if len(text) > max_chars:
        raise MessageTooLongError(most=max_chars, length=len(text))
    return text


def find_branch_end(conversation: Conversation, last_seen_public_id: str | None) -> int | None:
    """Return the id of the message that the next question follows; None in an empty conversation.

    This is the end of the branch of the last message that the user saw, or of the active branch.
    """
    try:
        last_seen_id = message_pages.get_message_id(conversation, last_seen_public_id) if last_seen_public_id else None
    except NotFoundError:
        last_seen_id = None
    return conversation.active_leaf_id if last_seen_id is None else message_tree.get_leaf_id(last_seen_id)


def activate_branch_end(tx: WriteSession, conversation: Conversation, leaf_id: int | None) -> None:
    """Activate the branch of a leaf, unless it is the active one."""
    if leaf_id is not None and leaf_id != conversation.active_leaf_id:
        message_tree.activate_branch(tx, conversation, leaf_id)


def store(
    tx: WriteSession, conversation: Conversation, parent_id: int | None, *, message: NewMessage, limits: QueueLimits
) -> Exchange:
    """Store a question below `parent_id`, its empty answers, and their queued generations.

    Raises QueueFullError, UserQueueFullError,
    NetworkQueueFullError or ConversationFullError; nothing is stored then.
    """
    new_answers = 1 + len(message.compare_with)
    message_tree.require_room(conversation, 1 + new_answers)
    generations.check_capacity(tx, conversation.user_id, limits, new_answers=new_answers)
    comparisons.end(tx, parent_id)
    question = message_tree.add_message(
        tx, conversation, parent_id, role=Role.USER, text=message.text, idempotency_key=message.stored_key
    )
    answer = message_tree.add_message(tx, conversation, question.id, role=Role.ASSISTANT)
    choice = message.choice or ModelChoice(conversation.model, conversation.preset)
    generations.enqueue(tx, answer, conversation, choice=choice, settings=message.settings)
    comparisons.start(tx, conversation, answer, compare_with=message.compare_with, settings=message.settings)
    bring_waiting_message(tx, answer)
    conversations.touch(tx, conversation)
    return Exchange(conversation, question, answer)


def bring_waiting_message(tx: WriteSession, answer: Message) -> None:
    """Let the waiting message of a conversation follow a new answer on its branch.

    That is another version of the answer that it waits for, or the answer to a question that was posted after it or
    edited above it.
    """
    waiting = tx.get(WaitingMessage, answer.conversation_id, populate_existing=True)
    awaited = tx.get(Message, waiting.parent_id) if waiting else None
    if waiting is None or awaited is None or answer.parent_id is None:
        return
    questions = select(Message.id, Message.parent_id).where(Message.id.in_((answer.parent_id, awaited.parent_id)))
    parent_ids = {row.id: row.parent_id for row in tx.execute(questions)}
    above = parent_ids[answer.parent_id]
    is_version = answer.parent_id == awaited.parent_id
    is_edited = awaited.parent_id in parent_ids and above == parent_ids[awaited.parent_id]
    if is_version or is_edited or above == awaited.id:
        waiting.parent_id = answer.id


def find_posted(conversation_id: int, stored_key: str | None) -> Message | None:
    """Return the question that a form with this idempotency key posted to the conversation, or None."""
    if not stored_key:
        return None
    query = select(Message).where(Message.conversation_id == conversation_id, Message.idempotency_key == stored_key)
    return db.session.scalar(query)
