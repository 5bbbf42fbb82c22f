"""Ratings: users rate answers as good or bad, with a note; the rating is stored with the generation."""

from __future__ import annotations

from sqlalchemy import select

from chatsite.database import db, write_transaction
from chatsite.errors import CannotRateError, InvalidRatingError, RatingNoteTooLongError
from chatsite.models import Generation, Message
from chatsite.services.chat import conversations
from chatsite.services.text import clean_text

MAX_NOTE_CHARS = 500
GOOD, BAD = 1, -1


def rate(message: Message, value: int, note: str = "") -> None:
    """Rate an answer as good (1) or bad (-1), with an optional note.

    Raises InvalidRatingError, RatingNoteTooLongError, ConversationNotFoundError, or
    CannotRateError if the message is not a finished answer.
    """
    if value not in {GOOD, BAD}:
        raise InvalidRatingError
    note = clean_text(note).strip()
    if len(note) > MAX_NOTE_CHARS:
        raise RatingNoteTooLongError(most=MAX_NOTE_CHARS, length=len(note))
    _set_rating(message, value, note or None)


def clear(message: Message) -> None:
    """Remove the rating of an answer.

    Raises ConversationNotFoundError, or CannotRateError if the message is not a finished answer.
    """
    _set_rating(message, None, None)


def _set_rating(message: Message, value: int | None, note: str | None) -> None:
    message_id, conversation_id, user_id = message.id, message.conversation_id, message.conversation.user_id
    latest = select(Generation).where(Generation.message_id == message_id, Generation.is_latest)
    with write_transaction() as tx:
        conversations.lock(tx, conversation_id, user_id)
        generation = db.session.scalar(latest.execution_options(populate_existing=True))
        if generation is None or generation.is_in_progress:
            raise CannotRateError
        generation.rating, generation.rating_note = value, note
