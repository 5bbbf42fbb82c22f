"""A copy of the database that is whole, taken while the site runs."""

from __future__ import annotations

import os
from pathlib import Path

from pysqlite3 import dbapi2 as sqlite

from chatsite import create_app
from chatsite.database import db
from chatsite.errors import ChatsiteError, sentence


class BackupError(ChatsiteError):
    """The copy could not be made; takes `reason`."""

    sentence = sentence("There is no backup: %(reason)s")


def back_up(target: Path) -> None:
    """Write a whole and checked copy of the SQLite database to `target`, which must not exist.

    Raises BackupError, with nothing left at `target`.
    """
    with create_app().app_context():
        if db.engine.dialect.name != "sqlite":
            raise BackupError(reason="PostgreSQL has pg_dump for that.")
        source = str(db.engine.url.database)
    draft = target.with_name(f".{target.name}-{os.getpid()}")
    try:
        _copy(source, draft)
        # A link, unlike a renaming, fails where something is already.
        os.link(draft, target)
    except (sqlite.Error, OSError) as error:
        raise BackupError(reason=str(error)) from error
    finally:
        draft.unlink(missing_ok=True)


def _copy(source: str, draft: Path) -> None:
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    connection = sqlite.connect(f"{Path(source).absolute().as_uri()}?mode=ro", uri=True)
    try:
        connection.execute("VACUUM INTO ?", (str(draft),))
    finally:
        connection.close()
    copy = sqlite.connect(str(draft), isolation_level=None)
    try:
        _forget_temporary(copy)
        (verdict,) = copy.execute("PRAGMA integrity_check").fetchone()
    finally:
        copy.close()
    if verdict != "ok":
        raise sqlite.DatabaseError(verdict)
    with draft.open("rb") as file:
        os.fsync(file.fileno())


def _forget_temporary(copy: sqlite.Connection) -> None:
    """Take temporary conversations out of a copy, which would outlive them."""
    columns = {row[1] for row in copy.execute("PRAGMA table_info(conversation)")}
    # A database that was not migrated yet has none.
    if "expires_at" not in columns:
        return
    for pragma in ("foreign_keys=ON", "secure_delete=ON", "journal_mode=MEMORY"):
        copy.execute(f"PRAGMA {pragma}").fetchall()
    gone = copy.execute("DELETE FROM conversation WHERE expires_at IS NOT NULL").rowcount
    if gone:
        copy.execute("VACUUM")
