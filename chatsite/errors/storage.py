"""Errors of the database and the disk. All are temporary for a runner: it waits, and tries again."""

from __future__ import annotations

from chatsite.errors.base import ChatsiteError, gettext_noop


class StorageError(ChatsiteError):
    """The base class of what keeps the site from reading or writing its database."""

    code = "storage_failed"
    status = 503
    message_template = gettext_noop("The database cannot be used right now. Nothing was saved; your text is kept.")
    retry_after = 5


class DatabaseBusyError(StorageError):
    """The database was locked for longer than a write may wait."""

    code = "database_busy"
    message_template = gettext_noop(
        "The database is busy and nothing was saved. Your text is kept; send it again in a moment."
    )
    retry_after = 2


class DatabaseUnavailableError(StorageError):
    """The database cannot be opened, or the connection to its server was lost."""

    code = "database_unavailable"
    message_template = gettext_noop("The database cannot be reached right now. Nothing was saved; your text is kept.")
    retry_after = 2


class StorageReadOnlyError(StorageError):
    """The disk or the database accepts no writes."""

    code = "storage_read_only"
    message_template = gettext_noop("The site is read-only at the moment and nothing was saved. Your text is kept.")
    retry_after = 30


class StorageFullError(StorageError):
    """The disk is full."""

    code = "storage_full"
    status = 507
    message_template = gettext_noop("The server's disk is full and nothing was saved. Your text is kept.")
    retry_after = 30


class DatabaseDamagedError(StorageError):
    """The contents of the database file are damaged."""

    code = "database_damaged"
    message_template = gettext_noop(
        "The database is damaged and nothing was saved. The administrator has to restore a backup."
    )
    retry_after = 60


class DatabaseReplacedError(StorageError):
    """The database file was removed, replaced or emptied while the site had it open."""

    code = "database_replaced"
    message_template = gettext_noop(
        "The database file was removed or replaced, and nothing was saved. The administrator has to restart the site."
    )
    retry_after = 60


class DatabaseMissingError(ChatsiteError):
    """The folder of the site was in use, and its database is gone; takes `file`."""

    code = "database_missing"
    message_template = gettext_noop(
        "%(file)s is missing or empty, although this site has been in use. Restore a backup with "
        "`chatsite restore FILE`. To begin with an empty database, run `chatsite migrate --new`."
    )


class DatabaseFileDamagedError(ChatsiteError):
    """A database file cannot be read; takes `file` and `cause`."""

    code = "database_file_damaged"
    message_template = gettext_noop(
        "%(file)s is damaged or not a database (%(cause)s). Restore a backup with `chatsite restore FILE`."
    )


class NewerDatabaseError(ChatsiteError):
    """The database has a migration that this version does not know; takes `revision`."""

    code = "newer_database"
    message_template = gettext_noop(
        "This database is from a newer version of chatsite (%(revision)s). Install that version, or restore a backup "
        "with `chatsite restore FILE`."
    )


class DatabaseFullError(ChatsiteError):
    """The database is as large as the setting allows."""

    code = "database_full"
    status = 507
    message_template = gettext_noop(
        "The site's storage is full and nothing was saved. Your text is kept. Delete chats to free space."
    )
