"""Tables of tags: a user's labels for conversations."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from chatsite.database import Base, UTCDateTime, utcnow
from chatsite.models.conversation import new_public_id

MAX_TAG_CHARS = 40


class Tag(Base):
    """A tag of one user. `normalized_name` is its name in lower case and without accents, by which it is found.

    `color` is the name of a color of the style sheet.
    """

    __tablename__ = "tag"
    __table_args__ = (UniqueConstraint("user_id", "normalized_name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(String(32), unique=True, default=new_public_id)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(MAX_TAG_CHARS))
    normalized_name: Mapped[str] = mapped_column(String(MAX_TAG_CHARS))
    color: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=utcnow)


class ConversationTag(Base):
    """Link of a conversation to a tag. `updated_at` is a copy of the conversation's, and sorts the list of the tag."""

    __tablename__ = "conversation_tag"
    __table_args__ = (Index("ix_conversation_tag_newest", "tag_id", "updated_at", "conversation_id"),)

    conversation_id: Mapped[int] = mapped_column(ForeignKey("conversation.id", ondelete="CASCADE"), primary_key=True)
    tag_id: Mapped[int] = mapped_column(ForeignKey("tag.id", ondelete="CASCADE"), primary_key=True)
    updated_at: Mapped[datetime] = mapped_column(UTCDateTime, default=utcnow)
