"""A message: what the user asked, or what the model answered."""

from __future__ import annotations

import enum
from datetime import datetime

from sqlalchemy import Enum, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from chatsite.database import Base, Moment, now
from chatsite.models.conversation import Conversation, public_id
from chatsite.models.generation import ACTIVE, Generation, Status


class Role(enum.StrEnum):
    """Who speaks."""

    USER = "user"
    ASSISTANT = "assistant"


class Message(Base):
    """One turn of a conversation, in the order of `id`.

    `text` is settled text. While an answer is being written its newest part lies in the chunks of `generation`, the
    newest generation that wrote at it; it moves here, and the chunks go, when that generation ends.
    """

    __tablename__ = "message"
    __table_args__ = (
        UniqueConstraint("conversation_id", "client_token"),
        Index("ix_message_conversation_id_id", "conversation_id", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(String(32), unique=True, default=public_id)
    conversation_id: Mapped[int] = mapped_column(ForeignKey("conversation.id", ondelete="CASCADE"))
    role: Mapped[Role] = mapped_column(
        Enum(Role, native_enum=False, length=16, values_callable=lambda roles: [role.value for role in roles])
    )
    text: Mapped[str] = mapped_column(Text, default="")
    client_token: Mapped[str | None] = mapped_column(String(64))
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
