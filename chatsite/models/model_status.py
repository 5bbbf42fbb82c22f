"""Table of local models: the state on this machine of the models of the catalog."""

from __future__ import annotations

import enum
from datetime import datetime

from sqlalchemy import BigInteger, Boolean, Float, String
from sqlalchemy.orm import Mapped, mapped_column

from chatsite.database import Base, StoredError, UTCDateTime, enum_column, utcnow
from chatsite.errors import ChatsiteError


class ModelState(enum.StrEnum):
    """State of the weights of a model."""

    ABSENT = "absent"
    FETCHING = "fetching"
    CONVERTING = "converting"
    READY = "ready"
    FAILED = "failed"


class RequestedAction(enum.StrEnum):
    """Action that the site's owner requested from the runner."""

    PULL = "pull"
    REMOVE = "remove"


class LocalModel(Base):
    """State of one model on this machine, by its name in the catalog.

    A runner writes everything but `requested_action`, which the web writes and the runner clears, and
    `answers_new_chats`: whether the owner wants new conversations to be answered by this model where the default model
    is `auto`; None if the owner was not asked. During a download
    `bytes_done` of `bytes_total` bytes are here, and arrive at `bytes_per_second`. `error` is why the last attempt
    failed. A model with `is_loading` or `is_loaded` takes `memory_bytes`; `tokens_per_second` is its measured speed
    with one request on this machine, and `is_batched` tells whether it writes several answers at once.
    """

    __tablename__ = "model"

    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    download_state: Mapped[ModelState] = mapped_column(
        enum_column(ModelState),
        default=ModelState.ABSENT,
    )
    requested_action: Mapped[RequestedAction | None] = mapped_column(enum_column(RequestedAction))
    answers_new_chats: Mapped[bool | None] = mapped_column(Boolean)
    bytes_done: Mapped[int | None] = mapped_column(BigInteger)
    bytes_total: Mapped[int | None] = mapped_column(BigInteger)
    bytes_per_second: Mapped[float | None] = mapped_column(Float)
    error: Mapped[ChatsiteError | None] = mapped_column(StoredError)
    revision: Mapped[str | None] = mapped_column(String(100))
    is_loading: Mapped[bool] = mapped_column(Boolean, default=False)
    is_loaded: Mapped[bool] = mapped_column(Boolean, default=False)
    memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    tokens_per_second: Mapped[float | None] = mapped_column(Float)
    precision: Mapped[str | None] = mapped_column(String(16))
    is_batched: Mapped[bool | None] = mapped_column(Boolean)
    reported_at: Mapped[datetime] = mapped_column(UTCDateTime, default=utcnow)
