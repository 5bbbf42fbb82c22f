"""Table of runners: the last heartbeat of each."""

from __future__ import annotations

import enum
from datetime import datetime

from sqlalchemy import JSON, Float, String
from sqlalchemy.orm import Mapped, mapped_column

from chatsite.database import Base, StoredError, UTCDateTime, enum_column, utcnow
from chatsite.errors import ChatsiteError


class RunnerState(enum.StrEnum):
    """State of a runner and its model."""

    FETCHING = "fetching"
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"


class Runner(Base):
    """The last heartbeat of one runner; `progress` of the download or the loading of its model is from 0 to 1.

    `models` are the names of the local models that it can answer with, `endpoints` those of the endpoints that it
    reaches; None: it did not say.
    """

    __tablename__ = "runner"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    model: Mapped[str] = mapped_column(String(200))
    state: Mapped[RunnerState] = mapped_column(enum_column(RunnerState))
    progress: Mapped[float | None] = mapped_column(Float)
    error: Mapped[ChatsiteError | None] = mapped_column(StoredError)
    models: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    endpoints: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    heartbeat_at: Mapped[datetime] = mapped_column(UTCDateTime, default=utcnow)
