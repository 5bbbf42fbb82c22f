"""Shares: read-only pages of one branch of a conversation."""

from __future__ import annotations

import secrets
from datetime import datetime

from sqlalchemy import JSON, ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from chatsite.database import Base, Moment, now
from chatsite.models.conversation import TITLE_CHARS, Conversation


def share_token() -> str:
    """The name of a share: who knows it may read, so it is 192 random bits in 32 characters."""
    return secrets.token_urlsafe(24)


class Share(Base):
    """A branch as it was when it was shared, from its beginning to `leaf_id`.

    Messages do not change once something follows them, so the rows themselves are the copy; only the last one can still
    grow, so its text and the model that wrote it are kept in `leaf_text` and `leaf_model`. `pages` holds the id of the
    last message of each page, so that any of them is found without walking through the others.
    """

    __tablename__ = "share"
    __table_args__ = (
        Index("ix_share_user_id_id", "user_id", "id"),
        Index("ix_share_conversation_id", "conversation_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(String(64), unique=True, default=share_token)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    conversation_id: Mapped[int] = mapped_column(ForeignKey("conversation.id", ondelete="CASCADE"))
    leaf_id: Mapped[int] = mapped_column(Integer)
    leaf_text: Mapped[str] = mapped_column(Text)
    leaf_model: Mapped[str | None] = mapped_column(String(200))
    pages: Mapped[list[int]] = mapped_column(JSON)
    title: Mapped[str] = mapped_column(String(TITLE_CHARS))
    created_at: Mapped[datetime] = mapped_column(Moment, default=now)
    updated_at: Mapped[datetime] = mapped_column(Moment, default=now)
    expires_at: Mapped[datetime | None] = mapped_column(Moment)

    conversation: Mapped[Conversation] = relationship()
