"""Table of title requests: conversations whose title a model is to write after the first answer."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Integer, String, text
from sqlalchemy.orm import Mapped, mapped_column

from chatsite.database import Base, UTCDateTime, utcnow


class TitleRequest(Base):
    """The title request of a conversation, which has one at most. It is deleted when there is a title, or none to be.

    `attempts` counts the claims, and `lease_owner` is the runner of the last one, as of generations.
    """

    __tablename__ = "title_request"

    conversation_id: Mapped[int] = mapped_column(
        ForeignKey("conversation.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    attempts: Mapped[int] = mapped_column(Integer, default=0, server_default=text("0"))
    lease_owner: Mapped[str | None] = mapped_column(String(64))
    lease_until: Mapped[datetime | None] = mapped_column(UTCDateTime)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=utcnow)
