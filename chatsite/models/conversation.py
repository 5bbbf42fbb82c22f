"""A conversation: a title and the messages under it."""

from __future__ import annotations

import secrets
from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from chatsite.database import Base, Moment, now
from chatsite.models.user import User

TITLE_CHARS = 120


def public_id() -> str:
    """A name for addresses that nobody can guess: 96 random bits in 16 characters."""
    return secrets.token_urlsafe(12)


class Conversation(Base):
    """What one user and a model said. `updated_at` is when the user last wrote, and orders the sidebar.

    `model` is the catalogue name of who answers from here on, and `preset` how it chooses its words; None leaves either
    to the site.
    """

    __tablename__ = "conversation"
    __table_args__ = (
        # A form for a new conversation that is sent twice makes one conversation.
        UniqueConstraint("user_id", "client_token"),
        Index("ix_conversation_newest", "user_id", "updated_at", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(String(32), unique=True, default=public_id)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    title: Mapped[str] = mapped_column(String(TITLE_CHARS))
    client_token: Mapped[str | None] = mapped_column(String(64))
    model: Mapped[str | None] = mapped_column(String(200))
    preset: Mapped[str | None] = mapped_column(String(16))
    created_at: Mapped[datetime] = mapped_column(Moment, default=now)
    updated_at: Mapped[datetime] = mapped_column(Moment, default=now)

    user: Mapped[User] = relationship()
