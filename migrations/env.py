"""Runs migrations on the app's own database engine."""

from __future__ import annotations

from alembic import context
from flask import current_app
from sqlalchemy import text

from chatsite.database import UTCDateTime
from chatsite.database_connections import allow_slow_statements
from chatsite.models.search_index import include_name

db = current_app.extensions["migrate"].db


def render_item(kind: str, item: object, _context: object) -> str | bool:
    """Write our own column types as what the database knows, so that a migration never depends on today's code."""
    return "sa.DateTime()" if kind == "type" and isinstance(item, UTCDateTime) else False


def run() -> None:
    """Apply the migrations, each in a transaction of its own.

    On SQLite a table that is altered is copied and dropped, and dropping a parent with foreign keys on deletes all
    its children. The keys are therefore off while migrating (a PRAGMA inside a transaction would do nothing), and
    all of them are checked before the commit.
    """
    with db.engine.connect() as connection:
        sqlite = connection.dialect.name == "sqlite"
        if sqlite:
            connection.connection.driver_connection.execute("PRAGMA foreign_keys=OFF")
        context.configure(
            connection=connection,
            target_metadata=db.metadata,
            render_as_batch=True,
            compare_type=True,
            render_item=render_item,
            include_name=include_name,
            transactional_ddl=True,
        )
        with context.begin_transaction():
            allow_slow_statements(connection)
            context.run_migrations()
            if sqlite and connection.execute(text("PRAGMA foreign_key_check")).first():
                raise RuntimeError("A migration left rows that point nowhere; nothing was changed.")
        if sqlite:
            connection.rollback()
            connection.connection.driver_connection.execute("PRAGMA foreign_keys=ON")


run()
