"""What can be undone: how things were before a change."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Boolean, ForeignKey, Index, String, false
from sqlalchemy.orm import Mapped, mapped_column

from chatsite.database import Base, Moment, now
from chatsite.models.conversation import public_id


class Undo(Base):
    """One change of a user's, to one conversation or to many at once.

    `verb` says what was done and `before` what the rows were like, as the service that did it wants it back. The sweep
    forgets it after a day.
    """

    __tablename__ = "undo"
    __table_args__ = (Index("ix_undo_created_at", "created_at"), Index("ix_undo_user_id", "user_id"))

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(String(32), unique=True, default=public_id)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    verb: Mapped[str] = mapped_column(String(16))
    before: Mapped[list[Any]] = mapped_column(JSON)
    done: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    created_at: Mapped[datetime] = mapped_column(Moment, default=now)
