"""Table of throttles: what was done so often that it has to wait."""

from __future__ import annotations

from sqlalchemy import Double, String
from sqlalchemy.orm import Mapped, mapped_column

from chatsite.database import Base


class Throttle(Base):
    """How far ahead of its rate something is that is done under `key` (`chatsite.services.throttles`).

    `next_at` is in seconds of Unix time. A row whose time is over means the same as no row.
    """

    __tablename__ = "throttle"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    next_at: Mapped[float] = mapped_column(Double, index=True)
