"""A generation: the work of writing one answer, which any runner can take up."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Boolean, Enum, Float, ForeignKey, Index, Integer, SmallInteger, String, Text, false, text
from sqlalchemy.orm import Mapped, mapped_column

from chatsite.database import Base, Moment, now


class Status(enum.StrEnum):
    """Where an answer stands."""

    QUEUED = "queued"
    GENERATING = "generating"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


ACTIVE = (Status.QUEUED, Status.GENERATING)


class Generation(Base):
    """One run at an answer: queued by the web, claimed by a runner that holds a lease while it writes.

    A message has one generation for its first answer and one more for each Retry or Continue; `newest` marks the last.
    `attempt` counts the claims and `owner` is who made the last one: a runner's writes name both, so that one that was
    taken for dead cannot write any more. `tokens` is how many the model has written in this generation; `seq` how many
    chunks. `first_token_at` minus `created_at` is what the visitor waited. `model` and `preset` are those that the
    conversation had when it was queued, and so are `persona`, `instructions` and `numbers`; it `takes_over` when
    another model wrote the answer before this one, and `resets` when that one had other instructions or numbers.
    `rating` is 1 or -1 when the user said that the answer is good or bad, and `rating_note` why.
    """

    __tablename__ = "generation"
    __table_args__ = (
        # Not a partial index: SQLite would not use one for a status that comes as a parameter.
        Index("ix_generation_status_id", "status", "id"),
        Index("ix_generation_message_id", "message_id"),
        Index(
            "uq_generation_newest",
            "message_id",
            unique=True,
            sqlite_where=text("newest"),
            postgresql_where=text("newest"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    message_id: Mapped[int] = mapped_column(ForeignKey("message.id", ondelete="CASCADE"))
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    newest: Mapped[bool] = mapped_column(Boolean, default=True)
    status: Mapped[Status] = mapped_column(
        Enum(Status, native_enum=False, length=16, values_callable=lambda all_: [status.value for status in all_]),
        default=Status.QUEUED,
    )
    model: Mapped[str | None] = mapped_column(String(200))
    preset: Mapped[str | None] = mapped_column(String(16))
    persona: Mapped[str | None] = mapped_column(String(80))
    # Pages of many answers have no use for it.
    instructions: Mapped[str | None] = mapped_column(Text, deferred=True)
    numbers: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    takes_over: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    resets: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    rating: Mapped[int | None] = mapped_column(SmallInteger)
    rating_note: Mapped[str | None] = mapped_column(String(500))
    attempt: Mapped[int] = mapped_column(Integer, default=0)
    owner: Mapped[str | None] = mapped_column(String(64))
    lease_until: Mapped[datetime | None] = mapped_column(Moment)
    cancel_requested: Mapped[bool] = mapped_column(Boolean, default=False)
    seq: Mapped[int] = mapped_column(Integer, default=0)
    tokens: Mapped[int] = mapped_column(Integer, default=0)
    tokens_per_second: Mapped[float | None] = mapped_column(Float)
    finish_reason: Mapped[str | None] = mapped_column(String(32))
    error: Mapped[str | None] = mapped_column(Text)
    receipt: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(Moment, default=now)
    started_at: Mapped[datetime | None] = mapped_column(Moment)
    first_token_at: Mapped[datetime | None] = mapped_column(Moment)
    finished_at: Mapped[datetime | None] = mapped_column(Moment)

    @property
    def active(self) -> bool:
        """Whether it still waits or writes."""
        return self.status in ACTIVE


class Chunk(Base):
    """What one tick of the runner added to an answer that is being written; gone once the answer is settled.

    A `fresh` one does not add: it begins anew what its generation wrote, and the chunks before it are gone.
    """

    __tablename__ = "chunk"
    __table_args__ = {"sqlite_with_rowid": False}

    generation_id: Mapped[int] = mapped_column(ForeignKey("generation.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    fresh: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    text: Mapped[str] = mapped_column(Text)
