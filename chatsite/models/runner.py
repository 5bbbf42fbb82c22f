"""A runner as the web sees it: the last thing it said of itself."""

from __future__ import annotations

import enum
from datetime import datetime

from sqlalchemy import Enum, Float, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from chatsite.database import Base, Moment, now


class RunnerState(enum.StrEnum):
    """What a runner is about."""

    FETCHING = "fetching"
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"


class Runner(Base):
    """The heartbeat of one runner; `progress` is between 0 and 1 where it is known."""

    __tablename__ = "runner"

    owner: Mapped[str] = mapped_column(String(64), primary_key=True)
    model: Mapped[str] = mapped_column(String(200))
    state: Mapped[RunnerState] = mapped_column(
        Enum(RunnerState, native_enum=False, length=16, values_callable=lambda all_: [state.value for state in all_])
    )
    progress: Mapped[float | None] = mapped_column(Float)
    reason: Mapped[str | None] = mapped_column(Text)
    seen_at: Mapped[datetime] = mapped_column(Moment, default=now)
