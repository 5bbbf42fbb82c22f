"""Messages: post a question, read a conversation."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import joinedload

from chatsite.database import db, now, write
from chatsite.errors import (
    AnswerRunningError,
    ControlCharactersError,
    ConversationGoneError,
    EmptyMessageError,
    MessageTooLongError,
    NotFoundError,
)
from chatsite.models import Conversation, Message, Role, User
from chatsite.models.conversation import TITLE_CHARS
from chatsite.services import conversations, generations
from chatsite.services.answerers import Answerer
from chatsite.services.generations import Limits

WINDOW = 60
TOKEN_CHARS = 64
WHITE_SPACE = {"\n", "\t"}


@dataclass(frozen=True)
class Turn:
    """A question, the answer that was queued for it, and whether this very post had been made before."""

    conversation: Conversation
    question: Message
    answer: Message
    repeated: bool = False


def check(text: str, most: int) -> str:
    """The text as it is stored: line ends as `\\n`, nothing around it.

    Raises EmptyMessageError, ControlCharactersError or MessageTooLongError (more than `most` characters).
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    kinds = {unicodedata.category(character) for character in set(text) - WHITE_SPACE}
    if kinds & {"Cc", "Cs"}:
        raise ControlCharactersError
    if not any(kind[0] not in "ZC" for kind in kinds):
        raise EmptyMessageError
    if len(text) > most:
        raise MessageTooLongError(most=most, length=len(text))
    return text


def start(
    user: User, text: str, client_token: str, title: str, limits: Limits, answerer: Answerer | None = None
) -> Turn:
    """Begin a conversation with its first question, which `answerer` answers as all that follow.

    `client_token` names the form it was typed in: the same one again gives the same turn back. `title` heads the new
    conversation. Raises what `check` raises, QueueFullError or OwnQueueFullError; nothing is stored then.
    """
    client_token = client_token[:TOKEN_CHARS]
    user_id = user.id
    try:
        with write() as session:
            done = _started(user_id, client_token)
            if done:
                return done
            text = check(text, limits.message_chars)
            conversation = Conversation(user_id=user_id, title=title[:TITLE_CHARS], client_token=client_token or None)
            _entrust(conversation, answerer)
            session.add(conversation)
            session.flush()
            return _ask(conversation, text, client_token, limits)
    except IntegrityError:
        # The same form arrived twice at the same instant in PostgreSQL, and the other one was first.
        found = _started(user_id, client_token)
        if found is None:
            raise
        return found


def post(
    user: User,
    conversation: Conversation,
    text: str,
    client_token: str,
    limits: Limits,
    answerer: Answerer | None = None,
) -> Turn:
    """Ask the next question of a conversation; `answerer` answers from here on, or else who did before.

    Raises what `start` raises, ConversationGoneError, and AnswerRunningError while an answer is being written.
    """
    client_token = client_token[:TOKEN_CHARS]
    conversation_id, user_id = conversation.id, user.id
    with write():
        conversation = conversations.lock(conversation_id, user_id)
        done = _posted(conversation, client_token)
        if done:
            return done
        text = check(text, limits.message_chars)
        if generations.is_running(conversation_id):
            raise AnswerRunningError
        _entrust(conversation, answerer)
        return _ask(conversation, text, client_token, limits)


def get(user: User | None, public_id: str) -> Message:
    """The message of that name in one of the user's conversations. Raises NotFoundError."""
    found = None
    if user is not None:
        found = db.session.scalar(
            select(Message)
            .join(Message.conversation)
            .where(Message.public_id == public_id, Conversation.user_id == user.id)
            .options(joinedload(Message.generation), joinedload(Message.conversation))
            .execution_options(populate_existing=True)
        )
    if found is None:
        raise NotFoundError
    return found


@dataclass(frozen=True)
class Window:
    """Some successive messages, and whether there are earlier ones."""

    messages: Sequence[Message]
    earlier: bool


def window(conversation: Conversation, before: str | None = None, size: int = WINDOW) -> Window:
    """The newest `size` messages of a conversation, or those before the message named `before`.

    Raises NotFoundError when the conversation has no message of that name.
    """
    query = _in(conversation)
    if before:
        query = query.where(Message.id < _id_in(conversation, before))
    rows = db.session.scalars(query.order_by(Message.id.desc()).limit(size + 1)).all()
    return Window(list(reversed(rows[:size])), earlier=len(rows) > size)


def since(conversation: Conversation, after: str | None, size: int = WINDOW) -> Sequence[Message]:
    """The messages after the one named `after`, or the newest ones when it is unknown: what a stale tab lacks."""
    try:
        last_known = _id_in(conversation, after or "")
    except NotFoundError:
        return window(conversation, size=size).messages
    rows = db.session.scalars(_in(conversation).where(Message.id > last_known).order_by(Message.id.desc()).limit(size))
    return list(reversed(rows.all()))


def _in(conversation: Conversation):  # type: ignore[no-untyped-def]
    return (
        select(Message)
        .where(Message.conversation_id == conversation.id)
        .options(joinedload(Message.generation))
        .execution_options(populate_existing=True)
    )


def _id_in(conversation: Conversation, public_id: str) -> int:
    found = db.session.scalar(
        select(Message.id).where(Message.public_id == public_id, Message.conversation_id == conversation.id)
    )
    if found is None:
        raise NotFoundError
    return found


def _ask(conversation: Conversation, text: str, client_token: str, limits: Limits) -> Turn:
    """Store the question, its empty answer and the queued generation, in the write under way."""
    generations.admit(conversation.user_id, limits)
    question = Message(conversation_id=conversation.id, role=Role.USER, text=text, client_token=client_token or None)
    answer = Message(conversation_id=conversation.id, role=Role.ASSISTANT)
    db.session.add(question)
    db.session.flush()
    db.session.add(answer)
    db.session.flush()
    generations.queue(answer, conversation, Answerer(conversation.model, conversation.preset))
    conversation.updated_at = now()
    return Turn(conversation, question, answer)


def _entrust(conversation: Conversation, answerer: Answerer | None) -> None:
    if answerer:
        conversation.model, conversation.preset = answerer.model, answerer.preset


def _started(user_id: int, client_token: str) -> Turn | None:
    """The turn that this form began a conversation with, if it did."""
    if not client_token:
        return None
    conversation = db.session.scalar(
        select(Conversation).where(Conversation.user_id == user_id, Conversation.client_token == client_token)
    )
    return _posted(conversation, client_token) if conversation else None


def _posted(conversation: Conversation, client_token: str) -> Turn | None:
    """The turn that this form made in the conversation, if it did."""
    if not client_token:
        return None
    question = db.session.scalar(
        select(Message).where(Message.conversation_id == conversation.id, Message.client_token == client_token)
    )
    if question is None:
        return None
    answer = db.session.scalar(
        select(Message)
        .where(Message.conversation_id == conversation.id, Message.id > question.id)
        .order_by(Message.id)
        .limit(1)
    )
    if answer is None:
        raise ConversationGoneError
    return Turn(conversation, question, answer, repeated=True)
