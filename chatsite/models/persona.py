"""Personas: instructions with a name, to begin conversations with."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from chatsite.database import Base, Moment, now
from chatsite.models.conversation import public_id

PERSONA_CHARS = 80


class Persona(Base):
    """What a user saved of the settings of a conversation. `model` and `preset` are None where it asks for none."""

    __tablename__ = "persona"
    __table_args__ = (Index("ix_persona_user_id_id", "user_id", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(String(32), unique=True, default=public_id)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(PERSONA_CHARS))
    instructions: Mapped[str] = mapped_column(Text)
    model: Mapped[str | None] = mapped_column(String(200))
    preset: Mapped[str | None] = mapped_column(String(16))
    numbers: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[datetime] = mapped_column(Moment, default=now)
