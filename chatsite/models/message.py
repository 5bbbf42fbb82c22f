"""Table of messages: questions of users and answers of models."""

from __future__ import annotations

import enum
from datetime import datetime

from sqlalchemy import Boolean, ForeignKey, Index, String, Text, UniqueConstraint, false, text, true
from sqlalchemy.orm import Mapped, mapped_column, relationship

from chatsite.database import Base, UTCDateTime, enum_column, utcnow
from chatsite.models.conversation import Conversation, new_public_id, partial_index_where
from chatsite.models.generation import IN_PROGRESS, Generation, Status


class Role(enum.StrEnum):
    """Author of a message."""

    USER = "user"
    ASSISTANT = "assistant"


class Message(Base):
    """One message of a conversation. `parent_id` is the message that it follows; None for a first message.

    Messages with the same parent are versions of each other, and exactly one of them has `is_active`: from any message
    on, the active branch goes down by the active children. A message has a greater `id` than its parent. Answers with
    `in_comparison` are shown side by side until one is selected. `import_source_id` is the id that an imported message
    had if it could not keep it.

    `text` is final. While an answer is in progress, its new text is in the chunks of `generation`, the newest
    generation of the message; it moves here, and the chunks are deleted, when that generation ends.
    """

    __tablename__ = "message"
    __table_args__ = (
        UniqueConstraint("conversation_id", "idempotency_key"),
        Index("ix_message_conversation_id_id", "conversation_id", "id"),
        Index("ix_message_parent_id_id", "parent_id", "id"),
        Index("ix_message_roots", "conversation_id", "id", **partial_index_where("parent_id IS NULL")),
        # The versions beside the active ones: few, and read without the rest of a conversation.
        Index(
            "ix_message_inactive",
            "conversation_id",
            "id",
            "parent_id",
            sqlite_where=text("is_active = 0"),
            postgresql_where=text("NOT is_active"),
        ),
        Index(
            "uq_message_active",
            "parent_id",
            unique=True,
            sqlite_where=text("is_active = 1 AND parent_id IS NOT NULL"),
            postgresql_where=text("is_active AND parent_id IS NOT NULL"),
        ),
        Index(
            "uq_message_active_root",
            "conversation_id",
            unique=True,
            sqlite_where=text("is_active = 1 AND parent_id IS NULL"),
            postgresql_where=text("is_active AND parent_id IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(String(32), unique=True, default=new_public_id)
    conversation_id: Mapped[int] = mapped_column(ForeignKey("conversation.id", ondelete="CASCADE"))
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("message.id"))
    is_active: Mapped[bool] = mapped_column(Boolean, default=True, server_default=true())
    in_comparison: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    role: Mapped[Role] = mapped_column(enum_column(Role))
    text: Mapped[str] = mapped_column(Text, default="")
    idempotency_key: Mapped[str | None] = mapped_column(String(64))
    import_source_id: Mapped[str | None] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=utcnow)

    conversation: Mapped[Conversation] = relationship()
    generation: Mapped[Generation | None] = relationship(
        primaryjoin="and_(Message.id == foreign(Generation.message_id), Generation.is_latest)",
        viewonly=True,
        uselist=False,
    )

    @property
    def status(self) -> Status:
        """The status of an answer; a question is always done."""
        return self.generation.status if self.generation else Status.DONE

    @property
    def is_in_progress(self) -> bool:
        """Return whether the answer is waiting or being written."""
        return self.status in IN_PROGRESS
