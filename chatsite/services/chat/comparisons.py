"""Comparisons: several models answer one question side by side, until one answer is selected.

The answers are ordinary versions of each other. During the comparison the first answer is on the active branch.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select, update
from sqlalchemy.orm import aliased, joinedload

from chatsite.database import WriteSession, db, write_transaction
from chatsite.errors import NotFoundError
from chatsite.models import Conversation, Message, Role, WaitingMessage
from chatsite.services.chat import conversations, generations, message_tree
from chatsite.services.chat.chat_settings import ChatSettings
from chatsite.services.models.choice import ModelChoice

# More do not fit side by side on a page.
MAX_COMPARED = 3


def start(
    tx: WriteSession,
    conversation: Conversation,
    answer: Message,
    *,
    compare_with: Sequence[ModelChoice],
    settings: ChatSettings | None = None,
) -> None:
    """Queue one more answer for each choice in `compare_with`, to be compared with `answer`.

    `settings` are by default those of the conversation.
    """
    if not compare_with:
        return
    answer.in_comparison = True
    for choice in compare_with:
        compared_answer = message_tree.add_message(
            tx, conversation, answer.parent_id, role=Role.ASSISTANT, in_comparison=True
        )
        generations.enqueue(tx, compared_answer, conversation, choice=choice, settings=settings)
    message_tree.activate_branch(tx, conversation, answer.id)


def end(tx: WriteSession, answer_id: int | None) -> None:
    """End the comparison of an answer, if there is one; all its answers stay as versions."""
    if answer_id is None:
        return
    version = aliased(Message)
    question = select(version.parent_id).where(version.id == answer_id).scalar_subquery()
    versions = update(Message).where(Message.parent_id == question, Message.in_comparison)
    tx.execute(versions.values(in_comparison=False).execution_options(synchronize_session=False))


def list_compared(answer: Message) -> Sequence[Message]:
    """Return the answers of a comparison in their order, `answer` included; empty if `answer` is in no comparison."""
    if not answer.in_comparison:
        return []
    rows: Sequence[Message] = db.session.scalars(
        select(Message)
        .where(Message.parent_id == answer.parent_id, Message.in_comparison)
        .order_by(Message.id)
        .options(joinedload(Message.generation))
        .execution_options(populate_existing=True)
    ).all()
    return rows


def find_answer_in_progress(answer: Message | None) -> Message | None:
    """Return the answer if it is in progress, or else the first one in progress that is compared with it.

    Returns None if all of them are finished, or without an answer.
    """
    if answer is None or answer.is_in_progress:
        return answer
    return next((each for each in list_compared(answer) if each.is_in_progress), None)


def stop(answer: Message) -> None:
    """Stop an answer and all answers that are compared with it.

    Raises NotFoundError for a message without a generation.
    """
    for compared_answer in list_compared(answer) or [answer]:
        generations.stop(compared_answer)


def pick_winner(answer: Message) -> Conversation:
    """Continue the conversation with an answer and its model, and end its comparison.

    The other answers stay as versions. Raises NotFoundError for a question, or ConversationNotFoundError.
    """
    if answer.role is not Role.ASSISTANT:
        raise NotFoundError
    answer_id, conversation_id, user_id = answer.id, answer.conversation_id, answer.conversation.user_id
    choice = ModelChoice(answer.generation.model, answer.generation.preset) if answer.generation else ModelChoice()
    with write_transaction() as tx:
        conversation = conversations.lock(tx, conversation_id, user_id)
        message_tree.activate_branch(tx, conversation, answer_id)
        _bring_waiting_message(tx, conversation_id, answer_id)
        end(tx, answer_id)
        if choice.model:
            conversation.model, conversation.preset = choice.model, choice.preset
        return conversation


def _bring_waiting_message(tx: WriteSession, conversation_id: int, answer_id: int) -> None:
    """Let a message that waits for the answers of a comparison follow the one that was selected."""
    waiting = tx.get(WaitingMessage, conversation_id, populate_existing=True)
    if waiting:
        parents = select(Message.parent_id).where(Message.id.in_((waiting.parent_id, answer_id)))
        waiting.parent_id = answer_id if len(set(tx.scalars(parents))) == 1 else waiting.parent_id
