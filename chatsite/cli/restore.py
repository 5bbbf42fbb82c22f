"""Puts a backup in the place of the database, with the site stopped."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pysqlite3 import dbapi2 as sqlite

from chatsite.cli.backup import require_intact
from chatsite.cli.revisions import read_revision
from chatsite.config import SECRET_KEY_FILE, flask_config, read_settings
from chatsite.database_file import create_file, list_files, lock_out_others, to_uri
from chatsite.errors import ChatsiteError, DatabaseFileDamagedError, StorageError, gettext_noop

NOT_SQLITE = gettext_noop("use pg_restore or psql for PostgreSQL.")
NOT_FOUND = gettext_noop("there is no such file.")
SAME_FILE = gettext_noop("this is the database itself.")
NOT_OURS = gettext_noop("this is not a database of chatsite.")
IN_USE = gettext_noop("the database is in use. Stop the site and all runners first.")
# The former database is kept in a folder of its own below this one, beside it.
KEPT_FOLDER = "before-restore"


class RestoreError(ChatsiteError):
    """The backup was not restored, and nothing was changed; takes `reason`."""

    code = "restore_failed"
    translated_params = ("reason",)
    message_template = gettext_noop("Nothing was restored: %(reason)s")


@dataclass(frozen=True)
class RestoredDatabase:
    """What a restore did: the folder with the former database, if there was one, and whether the key is missing."""

    former_files: Path | None
    is_key_missing: bool


def restore_backup(backup: Path) -> RestoredDatabase:
    """Check a backup and put a copy of it in the place of the database; keep the former files beside it.

    Raises RestoreError if the backup cannot be used or anybody has the database open, and NewerDatabaseError for a
    backup of a newer version. Nothing is changed then.
    """
    config = flask_config(read_settings())
    file: Path | None = config["DATABASE_FILE"]
    if file is None:
        raise RestoreError(reason=NOT_SQLITE)
    if not backup.is_file():
        raise RestoreError(reason=NOT_FOUND)
    if file.exists() and file.samefile(backup):
        raise RestoreError(reason=SAME_FILE)
    try:
        with lock_out_others(file) as is_free:
            if not is_free:
                raise RestoreError(reason=IN_USE)
            with _checked_copy(backup, file) as copy:
                former_files = _keep_former(file)
                copy.rename(file)
                _flush_folder(file.parent)
    except (sqlite.Error, OSError, DatabaseFileDamagedError, StorageError) as error:
        raise RestoreError(reason=str(error)) from error
    has_key = config["SECRET_KEY"] or (config["INSTANCE"] / SECRET_KEY_FILE).exists()
    return RestoredDatabase(former_files, is_key_missing=not has_key)


@contextlib.contextmanager
def _checked_copy(backup: Path, file: Path) -> Iterator[Path]:
    """Copy a backup to the folder of the database, check the copy, and delete it unless it was renamed meanwhile."""
    copy = file.with_name(f".{file.name}-{os.getpid()}")
    create_file(copy)
    try:
        with (
            contextlib.closing(sqlite.connect(to_uri(backup, "ro"), uri=True)) as source,
            contextlib.closing(sqlite.connect(to_uri(copy), uri=True, isolation_level=None)) as target,
        ):
            source.backup(target)
            require_intact(target)
        if read_revision(copy) is None:
            raise RestoreError(reason=NOT_OURS)
        with copy.open("rb") as written:
            os.fsync(written.fileno())
        yield copy
    finally:
        for path in list_files(copy):
            path.unlink(missing_ok=True)


def _keep_former(file: Path) -> Path | None:
    """Move the database and its companions to a folder that is named by the time; None if there are none."""
    former = [path for path in list_files(file) if path.exists()]
    if not former:
        return None
    folder = file.parent / KEPT_FOLDER / f"{datetime.now().astimezone():%Y-%m-%dT%H%M%S.%f}"
    folder.mkdir(parents=True, mode=0o700)
    # The database first: without it the site does not start; without its log it would, and lack the newest rows.
    for path in former:
        path.rename(folder / path.name)
    return folder


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
