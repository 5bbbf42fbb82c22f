"""A visitor: nothing but a private token that their browser keeps."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from chatsite.database import Base, Moment, now


class User(Base):
    """Somebody who wrote something. Only the SHA-256 of their token is stored, as 64 hexadecimal digits."""

    __tablename__ = "user"

    id: Mapped[int] = mapped_column(primary_key=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    # What is being typed into a conversation that has not begun.
    draft: Mapped[str | None] = mapped_column(Text, deferred=True)
    created_at: Mapped[datetime] = mapped_column(Moment, default=now)
