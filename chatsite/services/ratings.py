"""Ratings: that an answer is good or bad, and why; kept with how the answer came about."""

from __future__ import annotations

from sqlalchemy import select

from chatsite.database import db, write
from chatsite.errors import NoteTooLongError, NotRateableError, RatingUnknownError
from chatsite.models import Generation, Message
from chatsite.services import conversations
from chatsite.services.texts import tidy

NOTE_CHARS = 500
GOOD, BAD = 1, -1


def rate(message: Message, value: int, note: str = "") -> None:
    """Say that an answer is good (1) or bad (-1), and why.

    Raises RatingUnknownError, ControlCharactersError, NoteTooLongError, ConversationGoneError, and NotRateableError for
    what is no finished answer.
    """
    if value not in {GOOD, BAD}:
        raise RatingUnknownError
    note = tidy(note)
    if len(note) > NOTE_CHARS:
        raise NoteTooLongError(most=NOTE_CHARS, length=len(note))
    _set(message, value, note or None)


def clear(message: Message) -> None:
    """Say nothing of an answer any more. Raises ConversationGoneError or NotRateableError."""
    _set(message, None, None)


def _set(message: Message, value: int | None, note: str | None) -> None:
    message_id, conversation_id, user_id = message.id, message.conversation_id, message.conversation.user_id
    newest = select(Generation).where(Generation.message_id == message_id, Generation.newest)
    with write():
        conversations.lock(conversation_id, user_id)
        generation = db.session.scalar(newest.execution_options(populate_existing=True))
        if generation is None or generation.active:
            raise NotRateableError
        generation.rating, generation.rating_note = value, note
