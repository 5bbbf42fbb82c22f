"""A model as the runners know it on this machine: whether its weights are here, and how it does."""

from __future__ import annotations

import enum
from datetime import datetime

from sqlalchemy import BigInteger, Boolean, Enum, Float, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from chatsite.database import Base, Moment, now


class ModelState(enum.StrEnum):
    """Where the weights of a model are."""

    ABSENT = "absent"
    FETCHING = "fetching"
    CONVERTING = "converting"
    READY = "ready"
    FAILED = "failed"


class Wish(enum.StrEnum):
    """What the site's owner asked the runner to do with a model."""

    PULL = "pull"
    REMOVE = "remove"


class Model(Base):
    """One model of the catalogue, by its name there.

    A runner writes everything but `wish`, which the web writes and the runner clears once it obeyed. While the weights
    are fetched, `bytes_done` of `bytes_total` are here and come at `bytes_per_second`. `reason` is why the last try
    failed. A model that is `loading` or `loaded` takes `memory_bytes`; `tokens_per_second` is its measured speed alone
    on this machine, and `batched` whether it writes several answers at once.
    """

    __tablename__ = "model"

    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    state: Mapped[ModelState] = mapped_column(
        Enum(ModelState, native_enum=False, length=16, values_callable=lambda all_: [state.value for state in all_]),
        default=ModelState.ABSENT,
    )
    wish: Mapped[Wish | None] = mapped_column(
        Enum(Wish, native_enum=False, length=16, values_callable=lambda all_: [wish.value for wish in all_])
    )
    bytes_done: Mapped[int | None] = mapped_column(BigInteger)
    bytes_total: Mapped[int | None] = mapped_column(BigInteger)
    bytes_per_second: Mapped[float | None] = mapped_column(Float)
    reason: Mapped[str | None] = mapped_column(Text)
    revision: Mapped[str | None] = mapped_column(String(100))
    loading: Mapped[bool] = mapped_column(Boolean, default=False)
    loaded: Mapped[bool] = mapped_column(Boolean, default=False)
    memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    tokens_per_second: Mapped[float | None] = mapped_column(Float)
    precision: Mapped[str | None] = mapped_column(String(16))
    batched: Mapped[bool | None] = mapped_column(Boolean)
    seen_at: Mapped[datetime] = mapped_column(Moment, default=now)
