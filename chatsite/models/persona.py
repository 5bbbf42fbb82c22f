"""Table of personas: saved chat settings with a name."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from chatsite.database import Base, UTCDateTime, utcnow
from chatsite.models.conversation import new_public_id

MAX_PERSONA_NAME_CHARS = 80
# All personas of a user are on one page.
MAX_PERSONAS = 100


class Persona(Base):
    """Saved chat settings of a user. `model` and `preset` are None if any model may answer."""

    __tablename__ = "persona"
    __table_args__ = (Index("ix_persona_user_id_id", "user_id", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(String(32), unique=True, default=new_public_id)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(MAX_PERSONA_NAME_CHARS))
    instructions: Mapped[str] = mapped_column(Text)
    model: Mapped[str | None] = mapped_column(String(200))
    preset: Mapped[str | None] = mapped_column(String(16))
    generation_options: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=utcnow)
