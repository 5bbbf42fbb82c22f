"""Tables of imports: uploaded files, and the result for each conversation in them."""

from __future__ import annotations

import enum
from datetime import datetime

from sqlalchemy import JSON, BigInteger, Boolean, ForeignKey, Index, Integer, LargeBinary, String, false, text
from sqlalchemy.orm import Mapped, mapped_column

from chatsite.database import Base, StoredError, UTCDateTime, enum_column, utcnow
from chatsite.errors import ChatsiteError
from chatsite.models.conversation import MAX_TITLE_CHARS, new_public_id


class ImportState(enum.StrEnum):
    """State of an import."""

    UPLOADING = "uploading"
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELED = "cancelled"


UNFINISHED_STATES = (ImportState.UPLOADING, ImportState.QUEUED, ImportState.RUNNING)


class ImportOutcome(enum.StrEnum):
    """Outcome of one conversation of a file."""

    IMPORTED = "imported"
    UPDATED = "updated"
    DUPLICATE = "duplicate"
    SKIPPED = "skipped"


class Import(Base):
    """An uploaded file of `size_bytes` bytes, of which a runner has read `processed_bytes`.

    Its chunks are deleted when it is over; its results stay. A runner claims it with a lease, as it claims generations.
    `crash_count` counts the crashes of its owners since a record was last stored.
    """

    __tablename__ = "import"
    __table_args__ = (Index("ix_import_user_id_id", "user_id", "id"), Index("ix_import_state", "state", "id"))

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(String(32), unique=True, default=new_public_id)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(200))
    size_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    state: Mapped[ImportState] = mapped_column(
        enum_column(ImportState),
        default=ImportState.UPLOADING,
    )
    processed_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    imported_count: Mapped[int] = mapped_column(Integer, default=0)
    updated_count: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    duplicate_count: Mapped[int] = mapped_column(Integer, default=0)
    skipped_count: Mapped[int] = mapped_column(Integer, default=0)
    message_count: Mapped[int] = mapped_column(Integer, default=0)
    error: Mapped[ChatsiteError | None] = mapped_column(StoredError)
    cancel_requested: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    lease_owner: Mapped[str | None] = mapped_column(String(64))
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    crash_count: Mapped[int] = mapped_column(Integer, default=0, server_default=text("0"))
    lease_until: Mapped[datetime | None] = mapped_column(UTCDateTime)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=utcnow)
    finished_at: Mapped[datetime | None] = mapped_column(UTCDateTime)


class UploadChunk(Base):
    """Successive bytes of an uploaded file, compressed: web and runner share nothing but the database."""

    __tablename__ = "import_part"

    import_id: Mapped[int] = mapped_column(ForeignKey("import.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    data: Mapped[bytes] = mapped_column(LargeBinary)


class ImportResult(Base):
    """Result of one conversation of a file, in the order of the file; `reason` is why it was skipped.

    `message_count` is how many messages came in, and `omitted` how much was left out of each OmittedKind.
    """

    __tablename__ = "import_note"
    __table_args__ = (
        Index("ix_import_note_conversation_id", "conversation_id"),
        Index("ix_import_note_outcome", "import_id", "outcome", "seq"),
    )

    import_id: Mapped[int] = mapped_column(ForeignKey("import.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    title: Mapped[str] = mapped_column(String(MAX_TITLE_CHARS))
    outcome: Mapped[ImportOutcome] = mapped_column(enum_column(ImportOutcome))
    reason: Mapped[ChatsiteError | None] = mapped_column(StoredError)
    message_count: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    omitted: Mapped[dict[str, int] | None] = mapped_column(JSON(none_as_null=True))
    conversation_id: Mapped[int | None] = mapped_column(ForeignKey("conversation.id", ondelete="SET NULL"))
