"""Whether the database takes reads and writes now: asked for `/readyz`, and remembered for a moment."""

from __future__ import annotations

import threading
import time

from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from chatsite.database import db, is_file_cut_off, write_transaction
from chatsite.errors import DatabaseDamagedError, StorageError

# Anybody can ask, and each answer costs a write.
MIN_SECONDS_BETWEEN_PROBES = 1.0


class DatabaseProbe:
    """A probe of the database of one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next_probe_at = 0.0
        self._problem: str | None = None
        self._is_damaged = False

    def note_error(self, error: StorageError) -> None:
        """Remember damage that a query met: it does not go away, and the next query may not meet it."""
        self._is_damaged = self._is_damaged or isinstance(error, DatabaseDamagedError)

    def find_problem(self) -> str | None:
        """Return the code of what keeps the site from reading or writing, or None. Needs an app context."""
        with self._lock:
            if time.monotonic() >= self._next_probe_at:
                self._problem = self._probe()
                self._next_probe_at = time.monotonic() + MIN_SECONDS_BETWEEN_PROBES
            return self._problem

    def _probe(self) -> str | None:
        try:
            db.session.execute(text("SELECT id FROM generation LIMIT 1"))
            _write_nothing()
            if self._is_damaged or is_file_cut_off():
                return DatabaseDamagedError.code
        except StorageError as error:
            return error.code
        except SQLAlchemyError as error:
            return type(error).__name__
        finally:
            db.session.rollback()
        return None


def _write_nothing() -> None:
    """Do a write that changes no row, but needs all that a write needs."""
    with write_transaction() as tx:
        if db.engine.dialect.name == "sqlite":
            # A number in the file that is there for applications; we use it for nothing else.
            tx.execute(text(f"PRAGMA user_version = {time.time_ns() // 1000 % 2**31}"))
        else:
            tx.execute(text("DELETE FROM generation WHERE false"))
            tx.execute(text("SELECT txid_current()"))


def init_app(app: Flask) -> None:
    """Create the probe of the app, which `chatsite.database` tells of errors."""
    app.extensions["database_probe"] = DatabaseProbe()
