"""A conversation: a title and the messages under it."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Boolean, ForeignKey, Index, Integer, String, Text, UniqueConstraint, false, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from chatsite.database import Base, Moment, now
from chatsite.models.user import User

TITLE_CHARS = 120
LISTED = "archived_at IS NULL AND deleted_at IS NULL AND expires_at IS NULL"
ARCHIVED = "archived_at IS NOT NULL AND deleted_at IS NULL AND expires_at IS NULL"
TRASHED = "deleted_at IS NOT NULL"
TEMPORARY = "expires_at IS NOT NULL"


def where(condition: str) -> dict[str, Any]:
    """What makes an index hold only the rows of which the condition is true."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


def public_id() -> str:
    """A name for addresses that nobody can guess: 96 random bits in 16 characters."""
    return secrets.token_urlsafe(12)


class Conversation(Base):
    """What one user and a model said. `updated_at` is when the user last wrote, and orders the sidebar.

    Its messages are a tree; `leaf_id` is the last message of the branch that is shown. It has no foreign key: both rows
    go together, and a key each way would have every deletion look for the other.

    `model` is the catalogue name of who answers from here on, and `preset` how it chooses its words; None leaves either
    to the site. `instructions` is what the model is told before all messages (for BlenderBot each line is a line of its
    persona), `persona` the name of whom they describe, `numbers` the decoding options that were set by hand, by their
    names in `chatsite.engine.Options`.

    One that is `archived_at` some moment is kept out of the list, one that is `deleted_at` some moment lies in the
    trash, and one with `expires_at` is temporary: it is never listed, found or exported. `origin` says where an
    imported one came from, `<site>:<its id there>`. `draft` is what its user is typing.
    """

    __tablename__ = "conversation"
    __table_args__ = (
        # A form for a new conversation that is sent twice makes one conversation.
        UniqueConstraint("user_id", "client_token"),
        Index("ix_conversation_user_id_id", "user_id", "id"),
        Index("ix_conversation_newest", "user_id", "pinned", "updated_at", "id", **where(LISTED)),
        Index("ix_conversation_archived", "user_id", "archived_at", "id", **where(ARCHIVED)),
        Index("ix_conversation_trashed", "user_id", "deleted_at", "id", **where(TRASHED)),
        Index("ix_conversation_deleted_at", "deleted_at", **where(TRASHED)),
        Index("ix_conversation_expires_at", "expires_at", **where(TEMPORARY)),
        # What is imported twice is stored once.
        Index("uq_conversation_origin", "user_id", "origin", unique=True, **where("origin IS NOT NULL")),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(String(32), unique=True, default=public_id)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    title: Mapped[str] = mapped_column(String(TITLE_CHARS))
    client_token: Mapped[str | None] = mapped_column(String(64))
    model: Mapped[str | None] = mapped_column(String(200))
    preset: Mapped[str | None] = mapped_column(String(16))
    persona: Mapped[str | None] = mapped_column(String(80))
    instructions: Mapped[str | None] = mapped_column(Text)
    numbers: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    leaf_id: Mapped[int | None] = mapped_column(Integer)
    pinned: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    archived_at: Mapped[datetime | None] = mapped_column(Moment)
    deleted_at: Mapped[datetime | None] = mapped_column(Moment)
    expires_at: Mapped[datetime | None] = mapped_column(Moment)
    origin: Mapped[str | None] = mapped_column(String(200))
    # Lists of conversations have no use for it.
    draft: Mapped[str | None] = mapped_column(Text, deferred=True)
    created_at: Mapped[datetime] = mapped_column(Moment, default=now)
    updated_at: Mapped[datetime] = mapped_column(Moment, default=now)

    user: Mapped[User] = relationship()
