"""The size of the database, which a site may bound."""

from __future__ import annotations

from sqlalchemy import func, select, text

from chatsite.database import db
from chatsite.errors import DatabaseFullError


def require_room(max_bytes: int) -> None:
    """Check that the database may still grow; 0 means without limit. Raises DatabaseFullError."""
    if max_bytes and used_bytes() >= max_bytes:
        raise DatabaseFullError


def used_bytes() -> int:
    """Return how many bytes the database uses.

    On SQLite the pages that deleted rows have left do not count, since the next rows take them. PostgreSQL counts them
    until it has vacuumed and given them back.
    """
    if db.engine.dialect.name != "sqlite":
        return db.session.scalar(select(func.pg_database_size(func.current_database()))) or 0
    pages, free_pages, page_bytes = (
        int(db.session.scalar(text(f"PRAGMA {name}")) or 0) for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free_pages) * page_bytes
