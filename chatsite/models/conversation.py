"""Table of conversations: a title, chat settings and a message tree."""

from __future__ import annotations

import enum
import secrets
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Boolean, ForeignKey, Index, Integer, String, Text, UniqueConstraint, false, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from chatsite.database import Base, UTCDateTime, enum_column, utcnow
from chatsite.models.user import User

MAX_TITLE_CHARS = 120
LISTED_CONDITION = "archived_at IS NULL AND deleted_at IS NULL AND expires_at IS NULL"
ARCHIVED_CONDITION = "archived_at IS NOT NULL AND deleted_at IS NULL AND expires_at IS NULL"
TRASHED_CONDITION = "deleted_at IS NOT NULL"
TEMPORARY_CONDITION = "expires_at IS NOT NULL"


class TitleSource(enum.StrEnum):
    """Who wrote a title: a rule, a model, or a person. An imported title counts as a person's."""

    RULE = "rule"
    MODEL = "model"
    PERSON = "person"


def partial_index_where(condition: str) -> dict[str, Any]:
    """Return the arguments with which an index covers only the rows that meet an SQL condition."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


def new_public_id() -> str:
    """Return a new random public id: 96 bits in 16 characters, which cannot be guessed."""
    return secrets.token_urlsafe(12)


class Conversation(Base):
    """Conversation of one user. `updated_at` is when the user last wrote, and sorts the sidebar.

    Its messages form a tree; `active_leaf_id` is the last message of the active branch. It has no foreign key: both
    rows are deleted together, and a key in each direction would make every deletion look for the other.

    `model` is the catalog name of the model that answers from now on, and `preset` its way of decoding; None leaves
    either to the site. `instructions` is what the model reads before all messages (for BlenderBot each line is a line
    of its persona), `persona` is the name of the persona, and `generation_options` are the options that the user set,
    by their names in `chatsite.engine.types.GenerationOptions`.

    A conversation with `archived_at` is in the archive, one with `deleted_at` in the trash, and one with `expires_at`
    is a temporary chat, which is never listed, found or exported. `import_source_id` is where an imported one came
    from, `<site>:<its id there>`. `draft_text` is text that was typed and not sent. `read_at` is when the user
    last saw the end of the conversation; None for one that was last used before this was kept. Only a title whose
    `title_source` is the rule may be replaced by a model's.
    """

    __tablename__ = "conversation"
    __table_args__ = (
        # A form that is sent twice creates one conversation.
        UniqueConstraint("user_id", "idempotency_key"),
        Index("ix_conversation_user_id_id", "user_id", "id"),
        Index(
            "ix_conversation_newest", "user_id", "pinned", "updated_at", "id", **partial_index_where(LISTED_CONDITION)
        ),
        Index("ix_conversation_archived", "user_id", "archived_at", "id", **partial_index_where(ARCHIVED_CONDITION)),
        Index("ix_conversation_trashed", "user_id", "deleted_at", "id", **partial_index_where(TRASHED_CONDITION)),
        Index("ix_conversation_deleted_at", "deleted_at", **partial_index_where(TRASHED_CONDITION)),
        Index("ix_conversation_expires_at", "expires_at", **partial_index_where(TEMPORARY_CONDITION)),
        # A conversation that is imported twice is stored once.
        Index(
            "uq_conversation_import_source_id",
            "user_id",
            "import_source_id",
            unique=True,
            **partial_index_where("import_source_id IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(String(32), unique=True, default=new_public_id)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    title: Mapped[str] = mapped_column(String(MAX_TITLE_CHARS))
    title_source: Mapped[TitleSource] = mapped_column(
        enum_column(TitleSource), default=TitleSource.PERSON, server_default=TitleSource.PERSON.value
    )
    idempotency_key: Mapped[str | None] = mapped_column(String(64))
    model: Mapped[str | None] = mapped_column(String(200))
    preset: Mapped[str | None] = mapped_column(String(16))
    persona: Mapped[str | None] = mapped_column(String(80))
    instructions: Mapped[str | None] = mapped_column(Text)
    generation_options: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    active_leaf_id: Mapped[int | None] = mapped_column(Integer)
    pinned: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    archived_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    deleted_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    import_source_id: Mapped[str | None] = mapped_column(String(200))
    # Deferred: lists of conversations do not use it.
    draft_text: Mapped[str | None] = mapped_column(Text, deferred=True)
    read_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(UTCDateTime, default=utcnow)

    user: Mapped[User] = relationship()
