"""Comparisons: the same question answered by several models beside each other, until one is chosen to go on with.

The answers are versions of each other as any others are. While they are compared, the first one is the shown one.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select, update
from sqlalchemy.orm import aliased, joinedload

from chatsite.database import db, write
from chatsite.errors import NotFoundError
from chatsite.models import Conversation, Message, Role
from chatsite.services import branches, conversations, generations
from chatsite.services.answerers import Answerer

# More do not fit beside each other.
MOST = 3


def enter(conversation: Conversation, answer: Message, rivals: Sequence[Answerer]) -> None:
    """Have others answer the same question beside an answer, in the write under way."""
    if not rivals:
        return
    answer.comparing = True
    for rival in rivals:
        beside = branches.put(conversation, answer.parent_id, role=Role.ASSISTANT, comparing=True)
        generations.queue(beside, conversation, rival)
    branches.reveal(conversation, answer.id)


def end(answer_id: int | None) -> None:
    """Compare an answer with none beside it any more, in the write under way; nothing is lost."""
    if answer_id is None:
        return
    each = aliased(Message)
    question = select(each.parent_id).where(each.id == answer_id).scalar_subquery()
    versions = update(Message).where(Message.parent_id == question, Message.comparing)
    db.session.execute(versions.values(comparing=False).execution_options(synchronize_session=False))


def columns(answer: Message) -> Sequence[Message]:
    """The answers that this one is compared with and itself, in their order; nothing where none are compared."""
    if not answer.comparing:
        return []
    rows: Sequence[Message] = db.session.scalars(
        select(Message)
        .where(Message.parent_id == answer.parent_id, Message.comparing)
        .order_by(Message.id)
        .options(joinedload(Message.generation))
        .execution_options(populate_existing=True)
    ).all()
    return rows


def writing(answer: Message | None) -> Message | None:
    """The answer while it is being written, or else one of those beside it that is; None when all are over."""
    if answer is None or answer.active:
        return answer
    return next((each for each in columns(answer) if each.active), None)


def stop(answer: Message) -> None:
    """Have an answer, and those that it is compared with, written no further."""
    for each in columns(answer) or [answer]:
        generations.stop(each)


def choose(answer: Message) -> Conversation:
    """Go on with an answer, and with who wrote it; the others stay as its versions.

    Raises NotFoundError for a question, and ConversationGoneError.
    """
    if answer.role is not Role.ASSISTANT:
        raise NotFoundError
    answer_id, conversation_id, user_id = answer.id, answer.conversation_id, answer.conversation.user_id
    writer = Answerer(answer.generation.model, answer.generation.preset) if answer.generation else Answerer()
    with write():
        conversation = conversations.lock(conversation_id, user_id)
        branches.reveal(conversation, answer_id)
        end(answer_id)
        if writer.model:
            conversation.model, conversation.preset = writer.model, writer.preset
        return conversation
