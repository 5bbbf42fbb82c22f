"""Waiting messages: what is sent while an answer is being written, and is posted as soon as it is done.

A conversation has one at most. Whether it is due is told by what is stored: no answer of the conversation is in
progress, and the one that it follows is done. So whoever looks next posts it, after a crash too, and only once: it is
deleted in the transaction that posts it, under the lock of its conversation. After a stop or a failure it stays until
its user decides.
"""

from __future__ import annotations

import enum
from dataclasses import replace

import structlog
from sqlalchemy import ColumnElement, exists, select
from sqlalchemy.orm import aliased

from chatsite.database import WriteSession, db, write_transaction
from chatsite.errors import AnswerRunningError, ChatsiteError, DraftTooLongError, StorageError
from chatsite.models import IN_PROGRESS, Conversation, Generation, Message, Status, User, WaitingMessage
from chatsite.services.chat import (
    chat_settings,
    comparisons,
    conversations,
    drafts,
    exchanges,
    generations,
    message_tree,
    messages,
)
from chatsite.services.chat.exchanges import Exchange, NewMessage, normalize_text
from chatsite.services.chat.generations import QueueLimits
from chatsite.services.models.choice import ModelChoice
from chatsite.services.networks import Network

log = structlog.get_logger()

# Between two messages of one turn, and between a waiting message and the draft that it goes back to.
SEPARATOR = "\n\n"
MAX_POSTED_AT_ONCE = 20


class WaitingState(enum.StrEnum):
    """What a waiting message waits for: the end of an answer, its own posting, or its user."""

    WAITING = "waiting"
    SENDING = "sending"
    HELD = "held"


def find(conversation_id: int) -> WaitingMessage | None:
    """Return the waiting message of a conversation, or None."""
    return db.session.get(WaitingMessage, conversation_id, populate_existing=True)


def find_state(waiting: WaitingMessage) -> WaitingState:
    """Return what a message waits for."""
    if waiting.error:
        return WaitingState.HELD
    if generations.has_answer_in_progress(waiting.conversation_id):
        return WaitingState.SENDING if waiting.sends_now else WaitingState.WAITING
    awaited = db.session.get(Message, waiting.parent_id, populate_existing=True)
    is_due = waiting.sends_now or awaited is None or awaited.status is Status.DONE
    return WaitingState.SENDING if is_due else WaitingState.HELD


def is_for(waiting: WaitingMessage, message: Message) -> bool:
    """Return whether a waiting message follows `message`, or an answer that is compared with it."""
    if waiting.parent_id == message.id:
        return True
    return message.in_comparison and any(each.id == waiting.parent_id for each in comparisons.list_compared(message))


def post_or_wait(
    user: User, conversation: Conversation, message: NewMessage, *, limits: QueueLimits, choice: ModelChoice | None
) -> Exchange | WaitingMessage:
    """Post the next question of a conversation, or let it wait while an answer is in progress.

    Raises what `messages.post_message` raises; AnswerRunningError only if the answer is on another branch.
    """
    waiting = find(conversation.id)
    if waiting and find_state(waiting) is not WaitingState.HELD:
        return wait(user, conversation, message, limits=limits, choice=choice)
    try:
        return messages.post_message(user, conversation, message, limits=limits, choice=choice)
    except AnswerRunningError:
        return wait(user, conversation, message, limits=limits, choice=choice)


def wait(
    user: User,
    conversation: Conversation,
    message: NewMessage,
    *,
    limits: QueueLimits,
    choice: ModelChoice | None = None,
) -> Exchange | WaitingMessage:
    """Let a message wait for the answer in progress, with the model and the settings that it is sent with.

    Where a message waits already, the text is added to it as another paragraph. The same form again changes nothing.
    Raises EmptyMessageError, MessageTooLongError, ConversationFullError, ConversationNotFoundError, or
    AnswerRunningError if the answer in progress is on another branch.
    """
    conversation_id, user_id = conversation.id, user.id
    with write_transaction() as tx:
        locked = conversations.lock(tx, conversation_id, user_id)
        if duplicate := messages.find_exchange(locked, message):
            return duplicate
        waiting = tx.get(WaitingMessage, conversation_id, populate_existing=True)
        if waiting and message.stored_key and waiting.idempotency_key == message.stored_key:
            return waiting
        typed = normalize_text(message.text, limits.max_message_chars)
        drafts.clear_if_sent(tx, locked, typed, base_version=message.draft_version)
        if waiting is None:
            waiting = WaitingMessage(conversation_id=conversation_id, text=typed)
            waiting.parent_id = _find_awaited_id(locked, message.parent_id)
            tx.add(waiting)
        else:
            waiting.text = normalize_text(waiting.text + SEPARATOR + typed, limits.max_message_chars)
        message_tree.require_room(locked, 2 + len(message.compare_with))
        choice = choice or ModelChoice(locked.model, locked.preset)
        waiting.idempotency_key, waiting.error = message.stored_key, None
        waiting.model, waiting.preset = choice.model, choice.preset
        waiting.compare_with = [[each.model, each.preset] for each in message.compare_with] or None
        chat_settings.apply_to(waiting, chat_settings.read_from(locked))
        conversations.touch(tx, locked)
        return waiting


def remove(conversation: Conversation) -> None:
    """Delete the waiting message of a conversation, if there is one. Raises ConversationNotFoundError."""
    with write_transaction() as tx:
        _locked, waiting = _lock(tx, conversation)
        if waiting:
            tx.delete(waiting)


def move_to_draft(conversation: Conversation, max_message_chars: int) -> str:
    """Put the waiting message of a conversation back before its draft, and return its text; empty if none waits.

    Raises DraftTooLongError if both are too long together, or ConversationNotFoundError; it goes on waiting then.
    """
    with write_transaction() as tx:
        locked, waiting = _lock(tx, conversation)
        if waiting is None:
            return ""
        draft = SEPARATOR.join(filter(None, (waiting.text, drafts.get_text(locked))))
        if len(draft) > drafts.MAX_DRAFT_MESSAGES * max_message_chars:
            raise DraftTooLongError
        locked.draft_text = draft
        tx.delete(waiting)
        return waiting.text


def send_now(conversation: Conversation, limits: QueueLimits) -> Exchange | None:
    """Stop the answers in progress of a conversation and post its waiting message as soon as they have ended.

    Returns the exchange if that could be done at once. Raises ConversationNotFoundError, ConversationFullError,
    QueueFullError, UserQueueFullError or NetworkQueueFullError; nothing is changed then.
    """
    with write_transaction() as tx:
        locked, waiting = _lock(tx, conversation)
        if waiting is None:
            return None
        waiting.sends_now, waiting.error = True, None
        for answer in _list_in_progress(tx, locked.id):
            generations.stop(answer)
        tx.flush()
        return None if generations.has_answer_in_progress(locked.id) else _post(tx, locked, waiting, limits=limits)


def has_any() -> bool:
    """Return whether a message waits at all, which costs a tenth of finding out whether one is due."""
    return db.session.scalar(select(WaitingMessage.conversation_id).limit(1)) is not None


def post_due(limits: QueueLimits, max_queued_per_network: int | None = None) -> int:
    """Post the waiting messages that are due, and return how many there were.

    One that is refused keeps the error and stays until its user decides.
    """
    if not has_any():
        return 0
    rows = db.session.execute(
        select(WaitingMessage.conversation_id, Conversation.user_id, User.network_key)
        .join(Conversation, Conversation.id == WaitingMessage.conversation_id)
        .join(User, User.id == Conversation.user_id)
        .where(*_is_due())
        .limit(MAX_POSTED_AT_ONCE)
    ).all()
    for conversation_id, user_id, network_key in rows:
        network = None
        if network_key is not None and max_queued_per_network is not None:
            network = Network(network_key, 0, max_queued_per_network, 0)
        try:
            _post_if_due(conversation_id, user_id, replace(limits, network=network))
        except StorageError:
            raise
        except Exception as error:
            # One message that cannot be posted must not keep the others, or the answers, from going on.
            log.error("waiting_message_broke", conversation=conversation_id, exc_info=error)
            _hold(conversation_id, error if isinstance(error, ChatsiteError) else ChatsiteError())
    return len(rows)


def _post_if_due(conversation_id: int, user_id: int, limits: QueueLimits) -> None:
    with write_transaction() as tx:
        locked = conversations.lock(tx, conversation_id, user_id)
        is_due = select(WaitingMessage).where(WaitingMessage.conversation_id == conversation_id, *_is_due())
        # Another runner may have posted it while this one waited for the lock.
        waiting = tx.scalar(is_due.join(Conversation).execution_options(populate_existing=True))
        if waiting:
            _post(tx, locked, waiting, limits=limits)


def _post(tx: WriteSession, conversation: Conversation, waiting: WaitingMessage, *, limits: QueueLimits) -> Exchange:
    leaf_id = message_tree.get_leaf_id(waiting.parent_id)
    exchanges.activate_branch_end(tx, conversation, leaf_id)
    message = NewMessage(
        waiting.text,
        waiting.idempotency_key or "",
        compare_with=[ModelChoice(model, preset) for model, preset in waiting.compare_with or ()],
        choice=ModelChoice(waiting.model, waiting.preset),
        settings=chat_settings.read_from(waiting),
    )
    tx.delete(waiting)
    tx.flush()
    return exchanges.store(tx, conversation, leaf_id, message=message, limits=limits)


def _hold(conversation_id: int, error: ChatsiteError) -> None:
    with write_transaction() as tx:
        waiting = tx.get(WaitingMessage, conversation_id, populate_existing=True)
        if waiting:
            waiting.error, waiting.sends_now = error, False


def _lock(tx: WriteSession, conversation: Conversation) -> tuple[Conversation, WaitingMessage | None]:
    """Lock a conversation, and read its waiting message. Raises ConversationNotFoundError."""
    locked = conversations.lock(tx, conversation.id, conversation.user_id)
    return locked, tx.get(WaitingMessage, locked.id, populate_existing=True)


def _find_awaited_id(conversation: Conversation, last_seen_public_id: str | None) -> int:
    """Return the id of the answer that the next message follows.

    Raises AnswerRunningError if another branch has an answer in progress, or the conversation no message.
    """
    leaf_id = exchanges.find_branch_end(conversation, last_seen_public_id)
    leaf = db.session.get(Message, leaf_id, populate_existing=True) if leaf_id else None
    is_running = generations.has_answer_in_progress(conversation.id)
    if leaf is None or (is_running and not comparisons.find_answer_in_progress(leaf)):
        raise AnswerRunningError
    return leaf.id


def _list_in_progress(tx: WriteSession, conversation_id: int) -> list[Message]:
    query = select(Message).join(Generation, Generation.message_id == Message.id)
    running = query.where(Message.conversation_id == conversation_id, Generation.status.in_(IN_PROGRESS))
    return list(tx.scalars(running.order_by(Message.id)))


def _is_due() -> tuple[ColumnElement[bool], ...]:
    """Return the SQL conditions that a waiting message is due, given its conversation.

    Answers in progress are few in all, so they are looked up from that side.
    """
    running_message, awaited = aliased(Message), aliased(Generation)
    busy = (
        select(running_message.conversation_id)
        .join(Generation, Generation.message_id == running_message.id)
        .where(Generation.status.in_(IN_PROGRESS))
    )
    not_done = exists().where(
        awaited.message_id == WaitingMessage.parent_id, awaited.is_latest, awaited.status != Status.DONE
    )
    return (
        WaitingMessage.error.is_(None),
        WaitingMessage.conversation_id.not_in(busy),
        WaitingMessage.sends_now | ~not_done,
        conversations.visible_clause(),
    )
