"""Table of users: a user is known by a private token in the browser's cookie."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from sqlalchemy import Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from chatsite.database import Base, UTCDateTime, utcnow


class User(Base):
    """A visitor with at least one stored row. Only the SHA-256 of the token is stored, as 64 hexadecimal digits.

    `instructions` are read by the models of every chat, before the instructions of the conversation. New chats begin
    with `default_model` and `default_preset`; None leaves either to the site. A user with `deleted_at` deleted
    everything: nobody has the token, and the cleanup task deletes the rows.
    """

    __tablename__ = "user"
    __table_args__ = (
        Index(
            "ix_user_deleted_at",
            "deleted_at",
            sqlite_where=text("deleted_at IS NOT NULL"),
            postgresql_where=text("deleted_at IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    # The draft of a conversation that has not begun.
    draft_text: Mapped[str | None] = mapped_column(Text, deferred=True)
    instructions: Mapped[str | None] = mapped_column(Text, deferred=True)
    default_model: Mapped[str | None] = mapped_column(String(200))
    default_preset: Mapped[str | None] = mapped_column(String(16))
    deleted_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    # Which network address counts for what is in progress of this user (`chatsite.services.networks`).
    network_key: Mapped[str | None] = mapped_column(String(32))
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=utcnow)


class AnonymousUser:
    """A visitor without any row in the database. It is false where a User is true."""

    draft_text: None = None
    default_model: None = None
    default_preset: None = None

    def __bool__(self) -> Literal[False]:
        """Return False, so that `if user` distinguishes users from anonymous visitors."""
        return False


Visitor = User | AnonymousUser
