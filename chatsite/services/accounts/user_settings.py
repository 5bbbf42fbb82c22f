"""User settings: instructions for every chat, and the model and the style with which new chats begin."""

from __future__ import annotations

from sqlalchemy import select, update

from chatsite.database import db, write_transaction
from chatsite.errors import InstructionsTooLongError
from chatsite.models import User, Visitor
from chatsite.services.text import clean_text

# Short enough to leave room beside the instructions of a conversation.
MAX_INSTRUCTIONS_CHARS = 1500


def get_instructions(user: Visitor) -> str:
    """Return the user's instructions for every chat; empty if there are none."""
    return (find_instructions(user.id) if isinstance(user, User) else None) or ""


def find_instructions(user_id: int) -> str | None:
    """Return the instructions for every chat of the user with this row id, or None."""
    return db.session.scalar(select(User.instructions).where(User.id == user_id))


def update_instructions(user: User, text: str) -> None:
    """Store the instructions for every chat, which apply from the next answers. Raises InstructionsTooLongError."""
    text = clean_text(text)
    if len(text) > MAX_INSTRUCTIONS_CHARS:
        raise InstructionsTooLongError(most=MAX_INSTRUCTIONS_CHARS, length=len(text))
    _update(user, instructions=text or None)


def update_defaults(user: User, model: str | None, preset: str | None) -> None:
    """Store the model and the preset of new chats, as they were validated; None leaves either to the site."""
    _update(user, default_model=model, default_preset=preset)


def _update(user: User, **values: str | None) -> None:
    user_id = user.id
    with write_transaction() as tx:
        tx.execute(update(User).where(User.id == user_id).values(values))
