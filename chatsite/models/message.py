"""A message: what the user asked, or what the model answered."""

from __future__ import annotations

import enum
from datetime import datetime

from sqlalchemy import Boolean, Enum, ForeignKey, Index, String, Text, UniqueConstraint, false, text, true
from sqlalchemy.orm import Mapped, mapped_column, relationship

from chatsite.database import Base, Moment, now
from chatsite.models.conversation import Conversation, public_id, where
from chatsite.models.generation import ACTIVE, Generation, Status


class Role(enum.StrEnum):
    """Who speaks."""

    USER = "user"
    ASSISTANT = "assistant"


class Message(Base):
    """One turn of a conversation. `parent_id` is the message that it follows; None for one that begins a conversation.

    Messages of the same parent are versions of each other, and just one of them is `shown`: from any message on, the
    branch that is shown goes down by the children that are. A message has a greater `id` than its parent. Answers that
    are `comparing` are shown beside each other, and none of them is chosen yet. `origin` is the id that an imported
    message had, where it could not keep it.

    `text` is settled text. While an answer is being written its newest part lies in the chunks of `generation`, the
    newest generation that wrote at it; it moves here, and the chunks go, when that generation ends.
    """

    __tablename__ = "message"
    __table_args__ = (
        UniqueConstraint("conversation_id", "client_token"),
        Index("ix_message_conversation_id_id", "conversation_id", "id"),
        Index("ix_message_parent_id_id", "parent_id", "id"),
        Index("ix_message_roots", "conversation_id", "id", **where("parent_id IS NULL")),
        Index(
            "uq_message_shown",
            "parent_id",
            unique=True,
            sqlite_where=text("shown = 1 AND parent_id IS NOT NULL"),
            postgresql_where=text("shown AND parent_id IS NOT NULL"),
        ),
        Index(
            "uq_message_shown_root",
            "conversation_id",
            unique=True,
            sqlite_where=text("shown = 1 AND parent_id IS NULL"),
            postgresql_where=text("shown AND parent_id IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(String(32), unique=True, default=public_id)
    conversation_id: Mapped[int] = mapped_column(ForeignKey("conversation.id", ondelete="CASCADE"))
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("message.id"))
    shown: Mapped[bool] = mapped_column(Boolean, default=True, server_default=true())
    comparing: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    role: Mapped[Role] = mapped_column(
        Enum(Role, native_enum=False, length=16, values_callable=lambda roles: [role.value for role in roles])
    )
    text: Mapped[str] = mapped_column(Text, default="")
    client_token: Mapped[str | None] = mapped_column(String(64))
    origin: Mapped[str | None] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(Moment, default=now)

    conversation: Mapped[Conversation] = relationship()
    generation: Mapped[Generation | None] = relationship(
        primaryjoin="and_(Message.id == foreign(Generation.message_id), Generation.newest)",
        viewonly=True,
        uselist=False,
    )

    @property
    def status(self) -> Status:
        """The status of the answer; a question is done from the start."""
        return self.generation.status if self.generation else Status.DONE

    @property
    def active(self) -> bool:
        """Whether the answer is waiting to be written or being written."""
        return self.status in ACTIVE
