"""Migrations of the database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic.runtime.migration import MigrationContext
from flask import Flask
from flask_migrate import Migrate, upgrade
from sqlalchemy import text

from chatsite import create_app
from chatsite.cli.revisions import read_revision, require_known
from chatsite.config import SECRET_KEY_FILE, key_config, load_secret_key
from chatsite.database import db
from chatsite.database_file import create_file
from chatsite.errors import DatabaseMissingError, DatabaseUnavailableError
from chatsite.files import acquire_lock
from chatsite.services.search import indexes
from chatsite.settings import ROOT

# Any number will do, as long as nothing else in the same PostgreSQL database takes the lock of that number.
MIGRATION_LOCK_ID = 7_240_771
MIGRATIONS_FOLDER = ROOT / "migrations"

# Bound only to apps that migrate: importing Alembic is a fifth of what a web worker or a runner imports.
migrate = Migrate(db=db, directory=str(MIGRATIONS_FOLDER), render_as_batch=True)


def create_migrating_app() -> Flask:
    """Create an app on which Flask-Migrate's commands work (`make migration`)."""
    app = create_app()
    migrate.init_app(app)
    return app


def migrate_database(app: Flask, allow_new: bool = False) -> None:
    """Apply the missing migrations; another process that does the same waits. Create what a first start lacks.

    Raises DatabaseMissingError where a database has been, unless `allow_new` is set; NewerDatabaseError;
    DatabaseFileDamagedError; and StorageError.
    """
    migrate.init_app(app)
    try:
        with app.app_context(), _migration_lock(app):
            _require_usable_database(app, allow_new)
            upgrade()
            db.session.remove()
            db.engine.dispose()
    except OSError as error:
        raise DatabaseUnavailableError from error
    if not app.config["SECRET_KEY"]:
        app.config.update(key_config(load_secret_key(app.config["INSTANCE"])))


def _require_usable_database(app: Flask, allow_new: bool) -> None:
    """Check what `migrate_database` checks, and create the file of a SQLite database. Raises OSError too."""
    file: Path | None = app.config["DATABASE_FILE"]
    if file is None:
        with db.engine.connect() as connection:
            require_known(MigrationContext.configure(connection).get_current_revision())
        return
    is_used = (app.config["INSTANCE"] / SECRET_KEY_FILE).exists()
    if read_revision(file) is None and is_used and not allow_new:
        raise DatabaseMissingError(file=file)
    create_file(file)


def rebuild_search_index() -> None:
    """Rebuild the search index."""
    with create_app().app_context():
        indexes.rebuild_indexes()
        db.session.remove()


@contextmanager
def _migration_lock(app: Flask) -> Iterator[None]:
    """Hold the lock on migrations: a file for SQLite, a lock of the server for PostgreSQL."""
    if db.engine.dialect.name == "sqlite":
        with (app.config["INSTANCE"] / "migrate.lock").open("w") as lock:
            acquire_lock(lock)
            yield
        return
    # Between two statements of its own this connection is idle for as long as the migrations take.
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.detach()
        connection.execute(text("SET statement_timeout = 0; SET lock_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_lock(:number)"), {"number": MIGRATION_LOCK_ID})
        try:
            yield
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:number)"), {"number": MIGRATION_LOCK_ID})
