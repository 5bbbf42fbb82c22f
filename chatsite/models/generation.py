"""Table of generations: the work of writing one answer, which any runner can claim."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Boolean, Float, ForeignKey, Index, Integer, SmallInteger, String, Text, false, text
from sqlalchemy.orm import Mapped, mapped_column

from chatsite.database import Base, StoredError, UTCDateTime, enum_column, utcnow
from chatsite.errors import ChatsiteError


class Status(enum.StrEnum):
    """Status of a generation, and of its answer."""

    QUEUED = "queued"
    GENERATING = "generating"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


IN_PROGRESS = (Status.QUEUED, Status.GENERATING)


class Generation(Base):
    """One run at an answer: queued by the web, claimed by a runner that holds a lease while it writes.

    A message has one generation for its first answer and one more for each Retry or Continue; `is_latest` marks the
    newest. `attempts` counts the claims, and `lease_owner` is the runner of the last one: a runner's writes name both,
    so that a runner whose lease expired cannot write any more. `crash_count` counts the deaths of runners that are put
    down to this generation. `token_count` is the number of tokens that the model wrote in this generation,
    `reasoning_tokens` of them before it answered, in `reasoning_seconds`; `last_seq` is the number of the last chunk.
    `created_at` until `first_token_at` is what the user waited. `model`, `preset`, `persona`, `instructions` and
    `generation_options` are copies of what the conversation had when the generation was queued. `model_changed` and
    `settings_changed` mean that the answer before had another model, or other instructions or options. `rating` is 1
    (good) or -1 (bad), with the user's `rating_note`.
    """

    __tablename__ = "generation"
    __table_args__ = (
        # Not a partial index: SQLite would not use one for a status that comes as a parameter.
        Index("ix_generation_status_id", "status", "id"),
        Index("ix_generation_message_id", "message_id"),
        Index("ix_generation_user_id_status", "user_id", "status"),
        Index(
            "uq_generation_latest",
            "message_id",
            unique=True,
            sqlite_where=text("is_latest"),
            postgresql_where=text("is_latest"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    message_id: Mapped[int] = mapped_column(ForeignKey("message.id", ondelete="CASCADE"))
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    is_latest: Mapped[bool] = mapped_column(Boolean, default=True)
    status: Mapped[Status] = mapped_column(
        enum_column(Status),
        default=Status.QUEUED,
    )
    model: Mapped[str | None] = mapped_column(String(200))
    preset: Mapped[str | None] = mapped_column(String(16))
    persona: Mapped[str | None] = mapped_column(String(80))
    # Deferred: pages with many answers do not use it.
    instructions: Mapped[str | None] = mapped_column(Text, deferred=True)
    # What the user wants every chat to follow, if the model takes such instructions; read before `instructions`.
    user_instructions: Mapped[str | None] = mapped_column(Text, deferred=True)
    generation_options: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    model_changed: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    settings_changed: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    rating: Mapped[int | None] = mapped_column(SmallInteger)
    rating_note: Mapped[str | None] = mapped_column(String(500))
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    crash_count: Mapped[int] = mapped_column(Integer, default=0, server_default=text("0"))
    lease_owner: Mapped[str | None] = mapped_column(String(64))
    lease_until: Mapped[datetime | None] = mapped_column(UTCDateTime)
    cancel_requested: Mapped[bool] = mapped_column(Boolean, default=False)
    last_seq: Mapped[int] = mapped_column(Integer, default=0)
    token_count: Mapped[int] = mapped_column(Integer, default=0)
    reasoning_tokens: Mapped[int] = mapped_column(Integer, default=0, server_default=text("0"))
    reasoning_seconds: Mapped[float | None] = mapped_column(Float)
    tokens_per_second: Mapped[float | None] = mapped_column(Float)
    finish_reason: Mapped[str | None] = mapped_column(String(32))
    error: Mapped[ChatsiteError | None] = mapped_column(StoredError)
    prompt_report: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=utcnow)
    started_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    first_token_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UTCDateTime)

    @property
    def is_in_progress(self) -> bool:
        """Return whether the generation is waiting or being written."""
        return self.status in IN_PROGRESS


class Chunk(Base):
    """Text that one tick of a runner added to an answer. It moves into the message when the generation finishes.

    `reasoning` is what the tick added to what the model thinks before it answers, which is kept apart. A chunk with
    `restarts` replaces the text so far: the chunks before it are deleted.
    """

    __tablename__ = "chunk"
    __table_args__ = {"sqlite_with_rowid": False}

    generation_id: Mapped[int] = mapped_column(ForeignKey("generation.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    restarts: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    text: Mapped[str] = mapped_column(Text)
    reasoning: Mapped[str] = mapped_column(Text, default="", server_default="")
