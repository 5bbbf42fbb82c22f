"""A consistent copy of the database, taken while the site runs."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from pysqlite3 import dbapi2 as sqlite

from chatsite.config import SECRET_KEY_FILE, flask_config, read_settings
from chatsite.database_file import to_uri
from chatsite.errors import ChatsiteError, gettext_noop
from chatsite.files import publish_file

NOT_SQLITE = gettext_noop("use pg_dump for PostgreSQL.")


class BackupError(ChatsiteError):
    """The copy could not be made; takes `reason`."""

    code = "backup_failed"
    translated_params = ("reason",)
    message_template = gettext_noop("Backup failed: %(reason)s")


def create_backup(target: Path) -> list[Path]:
    """Write a consistent and checked copy of the SQLite database to `target`, which must not exist.

    Returns the other files that a restored site needs. Raises BackupError, with nothing left at `target`.
    """
    config = flask_config(read_settings())
    source: Path | None = config["DATABASE_FILE"]
    if source is None:
        raise BackupError(reason=NOT_SQLITE)
    partial_file = target.with_name(f".{target.name}-{os.getpid()}")
    try:
        _copy_database(source, partial_file)
        publish_file(partial_file, target)
    except (sqlite.Error, OSError) as error:
        raise BackupError(reason=str(error)) from error
    finally:
        partial_file.unlink(missing_ok=True)
    others = [config["INSTANCE"] / SECRET_KEY_FILE, config["INSTANCE"] / "terminal_token", config["CUSTOM_MODELS_FILE"]]
    return [path for path in others if path.exists()]


def _copy_database(source: Path, partial_file: Path) -> None:
    os.close(os.open(partial_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with contextlib.closing(sqlite.connect(to_uri(source, "ro"), uri=True)) as connection:
        connection.execute("VACUUM INTO ?", (str(partial_file),))
    with contextlib.closing(sqlite.connect(str(partial_file), isolation_level=None)) as copy:
        _delete_temporary(copy)
        require_intact(copy)
    with partial_file.open("rb") as file:
        os.fsync(file.fileno())


def require_intact(connection: sqlite.Connection) -> None:
    """Raise sqlite.DatabaseError with the first problem of a database, after reading all of it."""
    (result,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if result != "ok":
        raise sqlite.DatabaseError(result)


def _delete_temporary(copy: sqlite.Connection) -> None:
    """Delete temporary chats from a copy, which would outlive them."""
    columns = {row[1] for row in copy.execute("PRAGMA table_info(conversation)")}
    # A database that was not migrated yet has none.
    if "expires_at" not in columns:
        return
    for pragma in ("foreign_keys=ON", "secure_delete=ON", "journal_mode=MEMORY"):
        copy.execute(f"PRAGMA {pragma}").fetchall()
    deleted_count = copy.execute("DELETE FROM conversation WHERE expires_at IS NOT NULL").rowcount
    if deleted_count:
        copy.execute("VACUUM")
