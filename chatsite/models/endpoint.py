"""Tables of endpoints: what a runner found out about each server of models, and the look for servers here."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Boolean, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from chatsite.database import Base, StoredError, UTCDateTime, enum_column
from chatsite.errors import ChatsiteError


class EndpointState(enum.StrEnum):
    """State of an endpoint, as it last answered a runner."""

    UNKNOWN = "unknown"
    READY = "ready"
    FAILED = "failed"


class StoredEndpoint(Base):
    """What is known of one endpoint, by its name.

    An endpoint is configured by the administrator, or `is_added` on a page or by a command, or only found: then
    `found_at` is when a look for servers last saw it. A runner writes the rest: `state`, with the `error` of a failed
    one, its `family`, its `models` as lists of what each is and its `capabilities`. All runners together have at most
    `max_answers` answers of it in progress, and claim none before `blocked_until`. `check_requested` says that a runner
    is to ask it again. It was last asked at `checked_at`.
    """

    __tablename__ = "endpoint"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    url: Mapped[str] = mapped_column(String(500))
    is_added: Mapped[bool] = mapped_column(Boolean, default=False)
    found_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    state: Mapped[EndpointState] = mapped_column(enum_column(EndpointState), default=EndpointState.UNKNOWN)
    error: Mapped[ChatsiteError | None] = mapped_column(StoredError)
    family: Mapped[str] = mapped_column(String(40), default="")
    models: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    capabilities: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    max_answers: Mapped[int] = mapped_column(Integer, default=1)
    check_requested: Mapped[bool] = mapped_column(Boolean, default=False)
    checked_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    blocked_until: Mapped[datetime | None] = mapped_column(UTCDateTime)


class EndpointDiscovery(Base):
    """The look for servers on this computer: one row, if there ever was one.

    It is requested on a page; a runner claims it at `claimed_at` and ends it at `finished_at`.
    """

    __tablename__ = "endpoint_discovery"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    requested_at: Mapped[datetime] = mapped_column(UTCDateTime)
    claimed_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UTCDateTime)

    @property
    def is_in_progress(self) -> bool:
        """Return whether somebody waits for the result."""
        return self.finished_at is None
