"""Imports: files that were brought here, and what became of each conversation in them."""

from __future__ import annotations

import enum
from datetime import datetime

from sqlalchemy import BigInteger, Boolean, Enum, ForeignKey, Index, Integer, LargeBinary, String, Text, false
from sqlalchemy.orm import Mapped, mapped_column

from chatsite.database import Base, Moment, now
from chatsite.models.conversation import TITLE_CHARS, public_id


class ImportState(enum.StrEnum):
    """Where an import stands."""

    UPLOADING = "uploading"
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Outcome(enum.StrEnum):
    """What became of one conversation of a file."""

    IMPORTED = "imported"
    PRESENT = "present"
    SKIPPED = "skipped"


class Import(Base):
    """A file of `size` bytes, of which `bytes_done` are read. Its parts go when it is over; what came of it stays.

    A runner claims it with a lease, as it claims generations.
    """

    __tablename__ = "import"
    __table_args__ = (Index("ix_import_user_id_id", "user_id", "id"), Index("ix_import_state", "state", "id"))

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(String(32), unique=True, default=public_id)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(200))
    size: Mapped[int] = mapped_column(BigInteger, default=0)
    state: Mapped[ImportState] = mapped_column(
        Enum(ImportState, native_enum=False, length=16, values_callable=lambda all_: [each.value for each in all_]),
        default=ImportState.UPLOADING,
    )
    bytes_done: Mapped[int] = mapped_column(BigInteger, default=0)
    imported: Mapped[int] = mapped_column(Integer, default=0)
    present: Mapped[int] = mapped_column(Integer, default=0)
    skipped: Mapped[int] = mapped_column(Integer, default=0)
    messages: Mapped[int] = mapped_column(Integer, default=0)
    error: Mapped[str | None] = mapped_column(Text)
    cancel_requested: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    owner: Mapped[str | None] = mapped_column(String(64))
    attempt: Mapped[int] = mapped_column(Integer, default=0)
    lease_until: Mapped[datetime | None] = mapped_column(Moment)
    created_at: Mapped[datetime] = mapped_column(Moment, default=now)
    finished_at: Mapped[datetime | None] = mapped_column(Moment)


class ImportPart(Base):
    """Some successive bytes of a file that is to be imported: web and runner share nothing but the database."""

    __tablename__ = "import_part"

    import_id: Mapped[int] = mapped_column(ForeignKey("import.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    data: Mapped[bytes] = mapped_column(LargeBinary)


class ImportNote(Base):
    """What became of one conversation of a file, in the order of the file; `reason` says why it was skipped."""

    __tablename__ = "import_note"
    __table_args__ = (
        Index("ix_import_note_conversation_id", "conversation_id"),
        Index("ix_import_note_outcome", "import_id", "outcome", "seq"),
    )

    import_id: Mapped[int] = mapped_column(ForeignKey("import.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    title: Mapped[str] = mapped_column(String(TITLE_CHARS))
    outcome: Mapped[Outcome] = mapped_column(
        Enum(Outcome, native_enum=False, length=16, values_callable=lambda all_: [each.value for each in all_])
    )
    reason: Mapped[str | None] = mapped_column(Text)
    conversation_id: Mapped[int | None] = mapped_column(ForeignKey("conversation.id", ondelete="SET NULL"))
