"""The database's tables, brought up to date."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask
from flask_migrate import upgrade
from sqlalchemy import text

from chatsite import create_app
from chatsite.database import db
from chatsite.services import search_indexes

# Any number will do, as long as nothing else in the same PostgreSQL database takes the lock of that number.
MIGRATION_LOCK = 7_240_771


def bring_up_to_date(app: Flask) -> None:
    """Apply the migrations that are missing; whoever does the same at the same time waits."""
    with app.app_context(), _alone(app):
        upgrade()
        db.session.remove()


def reindex() -> None:
    """Index everything for search anew."""
    with create_app().app_context():
        search_indexes.rebuild()
        db.session.remove()


@contextmanager
def _alone(app: Flask) -> Iterator[None]:
    """Hold the lock on migrations: that of a file for SQLite, which is on this machine, or the server's."""
    if db.engine.dialect.name == "sqlite":
        with (app.config["INSTANCE"] / "migrate.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        return
    with db.engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:number)"), {"number": MIGRATION_LOCK})
        try:
            yield
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:number)"), {"number": MIGRATION_LOCK})
