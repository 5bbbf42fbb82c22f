"""Tags: words of a user's own that conversations are marked with."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from chatsite.database import Base, Moment, now
from chatsite.models.conversation import public_id

TAG_CHARS = 40


class Tag(Base):
    """A tag of one user. `key` is its name without accents and capitals, by which it is found; `color` names a colour
    of the style sheet.
    """

    __tablename__ = "tag"
    __table_args__ = (UniqueConstraint("user_id", "key"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(String(32), unique=True, default=public_id)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(TAG_CHARS))
    key: Mapped[str] = mapped_column(String(TAG_CHARS))
    color: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime] = mapped_column(Moment, default=now)


class ConversationTag(Base):
    """That a conversation has a tag. `updated_at` is the conversation's own, so that a tag's list is in its order."""

    __tablename__ = "conversation_tag"
    __table_args__ = (Index("ix_conversation_tag_newest", "tag_id", "updated_at", "conversation_id"),)

    conversation_id: Mapped[int] = mapped_column(ForeignKey("conversation.id", ondelete="CASCADE"), primary_key=True)
    tag_id: Mapped[int] = mapped_column(ForeignKey("tag.id", ondelete="CASCADE"), primary_key=True)
    updated_at: Mapped[datetime] = mapped_column(Moment, default=now)
