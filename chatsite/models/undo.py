"""Table of undo records: the previous values of changes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Boolean, ForeignKey, Index, String, false
from sqlalchemy.orm import Mapped, mapped_column

from chatsite.database import Base, UTCDateTime, utcnow
from chatsite.models.conversation import new_public_id


class Undo(Base):
    """One change of a user, to one conversation or to many at once.

    `action` is the kind of the change, and `previous` are the previous values in the form of the service that made it
    (`chatsite.services.undo`). The cleanup task deletes the record after a day.
    """

    __tablename__ = "undo"
    __table_args__ = (Index("ix_undo_created_at", "created_at"), Index("ix_undo_user_id", "user_id"))

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(String(32), unique=True, default=new_public_id)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    action: Mapped[str] = mapped_column(String(16))
    previous: Mapped[list[Any]] = mapped_column(JSON)
    is_undone: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=utcnow)
