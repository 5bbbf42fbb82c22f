"""Messages: post, edit, regenerate and look up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import joinedload

from chatsite.database import WriteSession, db, write_transaction
from chatsite.errors import AnswerRunningError, CannotRerunError, ConversationNotFoundError, NotFoundError
from chatsite.models import Conversation, Message, Role, TitleRequest, TitleSource, User, Visitor
from chatsite.models.conversation import MAX_TITLE_CHARS
from chatsite.services import leases
from chatsite.services.chat import (
    chat_settings,
    comparisons,
    conversations,
    drafts,
    exchanges,
    generations,
    message_tree,
    variations,
)
from chatsite.services.chat.chat_settings import ChatSettings
from chatsite.services.chat.exchanges import Exchange, NewMessage, find_posted, normalize_text
from chatsite.services.chat.generations import QueueLimits
from chatsite.services.chat.variations import Variation
from chatsite.services.models.choice import ModelChoice

__all__ = ["Exchange", "NewMessage", "normalize_text"]


@dataclass(frozen=True)
class NewConversation:
    """Properties of a new conversation, besides its first message.

    The title is made by rule; with `wants_model_title` a model is asked for a better one after the first answer.
    """

    title: str
    settings: ChatSettings | None = None
    is_temporary: bool = False
    wants_model_title: bool = False


@dataclass(frozen=True)
class Regeneration:
    """Who writes another version of an answer, and how.

    With `is_lasting` the model of `choice` also answers from now on. `variation` is for this answer alone; it is told
    to the model in `language`.
    """

    choice: ModelChoice
    is_lasting: bool = False
    variation: Variation | None = None
    language: str = ""


def start_conversation(
    user: User, new: NewConversation, message: NewMessage, *, limits: QueueLimits, choice: ModelChoice | None = None
) -> Exchange:
    """Start a conversation with its first question; `choice` answers this one and all that follow.

    The same idempotency key again returns the same exchange. Raises EmptyMessageError,
    MessageTooLongError, QueueFullError, UserQueueFullError or ConversationNotFoundError; nothing is stored then.
    """
    user_id = user.id
    try:
        with write_transaction() as tx:
            duplicate = _find_started(user_id, message)
            if duplicate:
                return duplicate
            text = normalize_text(message.text, limits.max_message_chars)
            conversation = Conversation(
                user_id=user_id, title=new.title[:MAX_TITLE_CHARS], idempotency_key=message.stored_key
            )
            conversation.title_source = TitleSource.RULE
            conversation.expires_at = leases.read_time() if new.is_temporary else None
            _set_model(conversation, choice)
            if new.settings:
                chat_settings.apply_to(conversation, new.settings)
            tx.add(conversation)
            drafts.clear_if_sent(tx, tx.get_one(User, user_id), text, base_version=message.draft_version)
            tx.flush()
            if new.wants_model_title and not new.is_temporary:
                tx.add(TitleRequest(conversation_id=conversation.id))
            message = replace(message, text=text, choice=message.choice or choice)
            return exchanges.store(tx, conversation, None, message=message, limits=limits)
    except IntegrityError:
        # PostgreSQL let two requests with the same form start at once, and the unique key rejected this one.
        duplicate_after_conflict = _find_started(user_id, message)
        if duplicate_after_conflict is None:
            raise
        return duplicate_after_conflict


def post_message(
    user: User,
    conversation: Conversation,
    message: NewMessage,
    *,
    limits: QueueLimits,
    choice: ModelChoice | None = None,
) -> Exchange:
    """Post the next question of a conversation; with `choice`, that model answers from now on.

    Raises EmptyMessageError, MessageTooLongError, QueueFullError, UserQueueFullError,
    ConversationNotFoundError, or AnswerRunningError while an answer is in progress; nothing is stored then.
    """

    def prepare(tx: WriteSession, locked: Conversation, text: str) -> int | None:
        _set_model(locked, choice)
        drafts.clear_if_sent(tx, locked, text, base_version=message.draft_version)
        leaf_id = exchanges.find_branch_end(locked, message.parent_id)
        exchanges.activate_branch_end(tx, locked, leaf_id)
        return leaf_id

    return _store_once(user.id, conversation.id, message, limits=limits, choice=choice, prepare=prepare)


def edit_question(
    user: User, question: Message, message: NewMessage, *, limits: QueueLimits, choice: ModelChoice | None = None
) -> Exchange:
    """Add a new version of a question beside the existing one, and queue its answer.

    `draft_version` and `parent_id` of `message` are ignored. Raises NotFoundError for an answer, EmptyMessageError,
    MessageTooLongError, QueueFullError, UserQueueFullError, ConversationNotFoundError, or
    AnswerRunningError while an answer is in progress.
    """
    if question.role is not Role.USER:
        raise NotFoundError
    parent_id, question_id = question.parent_id, question.id

    def prepare(tx: WriteSession, locked: Conversation, _text: str) -> int | None:
        message_tree.activate_branch(tx, locked, question_id)
        _set_model(locked, choice)
        return parent_id

    return _store_once(user.id, question.conversation_id, message, limits=limits, choice=choice, prepare=prepare)


def regenerate_answer(
    user: User, answer: Message, *, limits: QueueLimits, regeneration: Regeneration | None = None
) -> Message:
    """Add a new version of an answer beside the existing one, and queue it.

    Without a `regeneration` it is written as the next answer would be.

    Raises NotFoundError for a question, ConversationNotFoundError, AnswerRunningError, QueueFullError or
    UserQueueFullError.
    """
    if answer.role is not Role.ASSISTANT or answer.parent_id is None:
        raise NotFoundError
    conversation_id, question_id, user_id = answer.conversation_id, answer.parent_id, user.id
    with write_transaction() as tx:
        conversation = conversations.lock(tx, conversation_id, user_id)
        if generations.has_answer_in_progress(conversation_id):
            raise AnswerRunningError
        message_tree.require_room(conversation, 1)
        generations.check_capacity(tx, user_id, limits)
        message_tree.activate_branch(tx, conversation, question_id)
        regeneration = regeneration or Regeneration(_next_choice(conversation, None))
        _set_model(conversation, regeneration.choice if regeneration.is_lasting else None)
        new_answer = message_tree.add_message(tx, conversation, question_id, role=Role.ASSISTANT)
        choice, variation = regeneration.choice, regeneration.variation
        settings = chat_settings.for_next_answer(conversation, choice.family)
        if variation:
            settings = variations.add_to(settings, variation, regeneration.language)
        generations.enqueue(tx, new_answer, conversation, choice=choice, settings=settings)
        exchanges.bring_waiting_message(tx, new_answer)
        conversations.touch(tx, conversation)
        return new_answer


def regenerate_comparison(
    user: User, answer: Message, choices: Sequence[ModelChoice], *, limits: QueueLimits
) -> Message:
    """Ask the models of `choices` once more, side by side, what the answers of a comparison were to; return the first.

    The answers so far stay as versions. Raises CannotRerunError if there is no comparison any more,
    ConversationNotFoundError, ConversationFullError, AnswerRunningError, QueueFullError, UserQueueFullError or
    NetworkQueueFullError; nothing is changed then.
    """
    answer_id, conversation_id, user_id = answer.id, answer.conversation_id, user.id
    with write_transaction() as tx:
        conversation = conversations.lock(tx, conversation_id, user_id)
        compared = tx.get_one(Message, answer_id, populate_existing=True)
        if not compared.in_comparison or compared.parent_id is None:
            raise CannotRerunError
        if generations.has_answer_in_progress(conversation_id):
            raise AnswerRunningError
        message_tree.require_room(conversation, len(choices))
        generations.check_capacity(tx, user_id, limits, new_answers=len(choices))
        comparisons.end(tx, answer_id)
        message_tree.activate_branch(tx, conversation, compared.parent_id)
        first = message_tree.add_message(tx, conversation, compared.parent_id, role=Role.ASSISTANT)
        generations.enqueue(tx, first, conversation, choice=choices[0])
        comparisons.start(tx, conversation, first, compare_with=choices[1:])
        exchanges.bring_waiting_message(tx, first)
        conversations.touch(tx, conversation)
        return first


def get(user: Visitor, public_id: str) -> Message:
    """Return the message with this public id in one of the user's conversations. Raises NotFoundError."""
    message = None
    if isinstance(user, User):
        message = db.session.scalar(
            select(Message)
            .join(Message.conversation)
            .where(Message.public_id == public_id, Conversation.user_id == user.id, conversations.visible_clause())
            .options(joinedload(Message.generation), joinedload(Message.conversation))
            .execution_options(populate_existing=True)
        )
    if message is None:
        raise NotFoundError
    return message


def get_by_id(message_id: int) -> Message:
    """Return the message with this row id. The caller has checked that the user may see it."""
    return db.session.get_one(Message, message_id)


def _store_once(  # noqa: PLR0913 What is posted, where, and by which model it is answered.
    user_id: int,
    conversation_id: int,
    message: NewMessage,
    *,
    limits: QueueLimits,
    choice: ModelChoice | None,
    prepare: Callable[[WriteSession, Conversation, str], int | None],
) -> Exchange:
    """Store a question in a conversation, unless its form was sent before.

    `prepare` is called with the transaction, the locked conversation and the text as it is stored; it applies the
    changes that belong to the post, and returns the id of the message that the question follows.
    """
    with write_transaction() as tx:
        conversation = conversations.lock(tx, conversation_id, user_id)
        duplicate = find_exchange(conversation, message)
        if duplicate:
            return duplicate
        text = normalize_text(message.text, limits.max_message_chars)
        if generations.has_answer_in_progress(conversation_id):
            raise AnswerRunningError
        parent_id = prepare(tx, conversation, text)
        message = replace(message, text=text, choice=message.choice or choice)
        return exchanges.store(tx, conversation, parent_id, message=message, limits=limits)


def _set_model(conversation: Conversation, choice: ModelChoice | None) -> None:
    if choice:
        conversation.model, conversation.preset = choice.model, choice.preset


def _next_choice(conversation: Conversation, choice: ModelChoice | None) -> ModelChoice:
    """Return the choice that the conversation has now; the submitted one knows the family of its model."""
    return choice or ModelChoice(conversation.model, conversation.preset)


def _find_started(user_id: int, message: NewMessage) -> Exchange | None:
    """Return the exchange with which this form started a conversation, or None."""
    if not message.stored_key:
        return None
    conversation = db.session.scalar(
        select(Conversation).where(Conversation.user_id == user_id, Conversation.idempotency_key == message.stored_key)
    )
    return find_exchange(conversation, message) if conversation else None


def find_exchange(conversation: Conversation, message: NewMessage) -> Exchange | None:
    """Return the exchange that this form posted to the conversation, or None.

    Raises ConversationNotFoundError if its answer was deleted since.
    """
    question = find_posted(conversation.id, message.stored_key)
    if question is None:
        return None
    answers = select(Message).where(Message.parent_id == question.id).order_by(Message.id)
    answer = db.session.scalar(answers.limit(1))
    if answer is None:
        raise ConversationNotFoundError
    return Exchange(conversation, question, answer, is_duplicate=True)
