"""Messages: post a question, read a conversation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import joinedload

from chatsite.database import db, now, write
from chatsite.errors import (
    AnswerRunningError,
    ConversationGoneError,
    EmptyMessageError,
    MessageTooLongError,
    NotFoundError,
)
from chatsite.models import Conversation, Message, Role, User
from chatsite.models.conversation import TITLE_CHARS
from chatsite.services import branches, comparisons, conversations, drafts, generations, settings, windows
from chatsite.services.answerers import Answerer
from chatsite.services.generations import Limits
from chatsite.services.settings import Settings
from chatsite.services.texts import kinds, tidy

TOKEN_CHARS = 64


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
    text = tidy(text)
    if not any(kind[0] not in "ZC" for kind in kinds(text)):
        raise EmptyMessageError
    if len(text) > most:
        raise MessageTooLongError(most=most, length=len(text))
    return text


def start(
    user: User,
    text: str,
    client_token: str,
    title: str,
    limits: Limits,
    answerer: Answerer | None = None,
    wishes: Settings | None = None,
    rivals: Sequence[Answerer] = (),
    known: str = "",
    temporary: bool = False,
) -> Turn:
    """Begin a conversation with its first question, which `answerer` answers as all that follow, and `rivals` as well.

    `client_token` names the form it was typed in: the same one again gives the same turn back. `title` heads the new
    conversation, `wishes` are its settings, `known` is the edition of the draft that is sent. Raises what `check`
    raises, QueueFullError or OwnQueueFullError; nothing is stored then.
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
            conversation.expires_at = now() if temporary else None
            _entrust(conversation, answerer)
            if wishes:
                settings.put(conversation, wishes)
            session.add(conversation)
            drafts.take(session.get_one(User, user_id), text, known)
            session.flush()
            return _ask(conversation, text, client_token, limits, None, rivals)
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
    after: str | None = None,
    rivals: Sequence[Answerer] = (),
    known: str = "",
) -> Turn:
    """Ask the next question of a conversation; `answerer` answers from here on, or else who did before.

    With `rivals` their answers stand beside that one, to be compared. `known` is the edition of the draft that is sent.

    The question follows the branch of the message named `after`, the last one that the asker saw, and else the branch
    that is shown. Raises what `start` raises, ConversationGoneError, and AnswerRunningError while an answer is being
    written.
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
        drafts.take(conversation, text, known)
        return _ask(conversation, text, client_token, limits, _parent(conversation, after), rivals)


def edit(
    user: User, question: Message, text: str, client_token: str, limits: Limits, answerer: Answerer | None = None
) -> Turn:
    """Ask a question in other words: a new version of it beside the one that there is, which stays.

    Raises what `post` raises, and NotFoundError for an answer.
    """
    if question.role is not Role.USER:
        raise NotFoundError
    client_token = client_token[:TOKEN_CHARS]
    conversation_id, parent_id, above_id, user_id = question.conversation_id, question.parent_id, question.id, user.id
    with write():
        conversation = conversations.lock(conversation_id, user_id)
        done = _posted(conversation, client_token)
        if done:
            return done
        text = check(text, limits.message_chars)
        if generations.is_running(conversation_id):
            raise AnswerRunningError
        branches.reveal(conversation, above_id)
        _entrust(conversation, answerer)
        return _ask(conversation, text, client_token, limits, parent_id)


def answer_again(user: User, answer: Message, limits: Limits, answerer: Answerer | None = None) -> Message:
    """Have a question answered once more: a new version of the answer beside the one that there is, which stays.

    `answerer` writes it and answers from here on, or else who answers now. Raises NotFoundError for a question, and
    ConversationGoneError, AnswerRunningError and what `generations.admit` raises.
    """
    if answer.role is not Role.ASSISTANT or answer.parent_id is None:
        raise NotFoundError
    conversation_id, question_id, user_id = answer.conversation_id, answer.parent_id, user.id
    with write():
        conversation = conversations.lock(conversation_id, user_id)
        if generations.is_running(conversation_id):
            raise AnswerRunningError
        generations.admit(user_id, limits)
        branches.reveal(conversation, question_id)
        _entrust(conversation, answerer)
        made = branches.put(conversation, question_id, role=Role.ASSISTANT)
        generations.queue(made, conversation, Answerer(conversation.model, conversation.preset))
        conversations.touch(conversation)
        return made


def get(user: User | None, public_id: str) -> Message:
    """The message of that name in one of the user's conversations. Raises NotFoundError."""
    found = None
    if user is not None:
        found = db.session.scalar(
            select(Message)
            .join(Message.conversation)
            .where(Message.public_id == public_id, Conversation.user_id == user.id, conversations.alive())
            .options(joinedload(Message.generation), joinedload(Message.conversation))
            .execution_options(populate_existing=True)
        )
    if found is None:
        raise NotFoundError
    return found


def by_id(message_id: int) -> Message:
    """The message of that row, which belongs to somebody who was asked for before."""
    return db.session.get_one(Message, message_id)


def _parent(conversation: Conversation, after: str | None) -> int | None:
    """What the next question follows: the end of the branch that the asker saw, which is shown from now on."""
    try:
        seen = windows.id_in(conversation, after) if after else None
    except NotFoundError:
        seen = None
    if seen is None or (end := branches.tip(seen)) == conversation.leaf_id:
        return conversation.leaf_id
    branches.reveal(conversation, seen)
    return end


def _ask(
    conversation: Conversation,
    text: str,
    client_token: str,
    limits: Limits,
    parent_id: int | None,
    rivals: Sequence[Answerer] = (),
) -> Turn:
    """Store the question, its empty answers and their queued generations, in the write under way."""
    generations.admit(conversation.user_id, limits, 1 + len(rivals))
    comparisons.end(parent_id)
    question = branches.put(conversation, parent_id, role=Role.USER, text=text, client_token=client_token or None)
    answer = branches.put(conversation, question.id, role=Role.ASSISTANT)
    generations.queue(answer, conversation, Answerer(conversation.model, conversation.preset))
    comparisons.enter(conversation, answer, rivals)
    conversations.touch(conversation)
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
    answers = select(Message).where(Message.parent_id == question.id).order_by(Message.id)
    answer = db.session.scalar(answers.limit(1))
    if answer is None:
        raise ConversationGoneError
    return Turn(conversation, question, answer, repeated=True)
