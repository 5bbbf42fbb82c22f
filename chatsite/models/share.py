"""Table of shares: read-only pages of one branch of a conversation."""

from __future__ import annotations

import secrets
from datetime import datetime

from sqlalchemy import JSON, ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from chatsite.database import Base, UTCDateTime, utcnow
from chatsite.models.conversation import MAX_TITLE_CHARS, Conversation


def share_token() -> str:
    """Return a new public id of a share: 192 random bits in 32 characters, since the id alone gives access."""
    return secrets.token_urlsafe(24)


class Share(Base):
    """A branch as it was when it was shared, from its first message to `leaf_id`.

    A message does not change once another one follows it, so the message rows themselves are the copy. Only the last
    one can still grow; its text and its model are therefore stored in `leaf_text` and `leaf_model`. `page_end_ids` are
    the ids of the last message of each page, so that a page is found without a walk through the ones before it.
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
    page_end_ids: Mapped[list[int]] = mapped_column(JSON)
    title: Mapped[str] = mapped_column(String(MAX_TITLE_CHARS))
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(UTCDateTime, default=utcnow)
    expires_at: Mapped[datetime | None] = mapped_column(UTCDateTime)

    conversation: Mapped[Conversation] = relationship()
