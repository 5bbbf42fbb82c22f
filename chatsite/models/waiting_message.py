"""Table of waiting messages: what was sent while an answer was being written, and is posted when it is done."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Boolean, ForeignKey, Integer, String, Text, false
from sqlalchemy.orm import Mapped, mapped_column

from chatsite.database import Base, StoredError, UTCDateTime, utcnow
from chatsite.errors import ChatsiteError


class WaitingMessage(Base):
    """The waiting message of a conversation, which has one at most.

    It follows `parent_id`, the answer that was in progress. That has no foreign key: both are deleted with their
    conversation. `idempotency_key` is the key of the last form that added to it. `model`, `preset`, `persona`,
    `instructions` and `generation_options` are what the conversation had when it was sent, and `compare_with` the
    models and presets of a comparison. With `sends_now` it is posted however the answer ends. `error` says why it could
    not be posted; then it stays until its user decides.
    """

    __tablename__ = "waiting_message"

    conversation_id: Mapped[int] = mapped_column(
        ForeignKey("conversation.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    parent_id: Mapped[int] = mapped_column(Integer)
    text: Mapped[str] = mapped_column(Text)
    idempotency_key: Mapped[str | None] = mapped_column(String(64))
    model: Mapped[str | None] = mapped_column(String(200))
    preset: Mapped[str | None] = mapped_column(String(16))
    persona: Mapped[str | None] = mapped_column(String(80))
    instructions: Mapped[str | None] = mapped_column(Text)
    generation_options: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    compare_with: Mapped[list[list[str | None]] | None] = mapped_column(JSON(none_as_null=True))
    sends_now: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    error: Mapped[ChatsiteError | None] = mapped_column(StoredError)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=utcnow)
