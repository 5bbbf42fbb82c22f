"""What an installation consists of, and what ails it."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from pathlib import Path

import click
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask
from pysqlite3 import dbapi2 as sqlite
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from chatsite import create_app
from chatsite.cli.setup import entry_of
from chatsite.database import db, wal_is_safe
from chatsite.engine.catalogue import Folder, Wheel, entries
from chatsite.engine.decoding.native import library
from chatsite.engine.weights import present
from chatsite.extensions import MIGRATIONS
from chatsite.models import RunnerState
from chatsite.services import runners, search_indexes

Finding = tuple[bool, str]


def examine() -> int:
    """Print one line a finding; returns 1 when something needs mending.

    Raises ConfigError for a setting that cannot be used.
    """
    app = create_app()
    with app.app_context():
        findings = [*_software(), _database(), _search_index(), _model(app), *_others(app), _runner(app)]
    for well, line in findings:
        click.echo(("ok    " if well else "MEND  ") + line)
    return 0 if all(well for well, _ in findings) else 1


def _software() -> Iterator[Finding]:
    yield True, f"Python {platform.python_version()}"
    safe = wal_is_safe(sqlite.sqlite_version_info)
    yield (
        safe,
        f"SQLite {sqlite.sqlite_version}" + ("" if safe else " can corrupt its file under two writers"),
    )
    yield (
        True,
        "compiled steps" if library() else "no compiled steps: a model in eight bits takes twice as long",
    )


def _database() -> Finding:
    """Whether the database can be reached and has all migrations."""
    address = make_url(str(db.engine.url)).render_as_string(hide_password=True)
    newest = ScriptDirectory(str(MIGRATIONS)).get_current_head()
    try:
        with db.engine.connect() as connection:
            current = MigrationContext.configure(connection).get_current_revision()
    except SQLAlchemyError as error:
        return False, f"database {address} cannot be reached: {type(error).__name__}"
    if current != newest:
        return False, f"database {address} is at {current}, not at {newest}: run `chatsite migrate`"
    return True, f"database {address} at {current}"


def _search_index() -> Finding:
    """Whether all messages can be found."""
    try:
        drift = search_indexes.drift()
    except SQLAlchemyError:
        return False, "search index unknown: the database cannot be read"
    if drift:
        return False, f"search index: {drift} messages are missing or left over: run `chatsite reindex`"
    return True, "search index complete"


def _model(app: Flask) -> Finding:
    entry = entry_of(app.config)
    where = entry.source
    if isinstance(where, Wheel) and not present(entry, app.config["MODELS"]):
        return False, f"model {entry.name} is not on this machine: run `chatsite setup`"
    folder: Path | str = where.path if isinstance(where, Folder) else ""
    return True, f"model {entry.name} {folder}".rstrip()


def _others(app: Flask) -> Iterator[Finding]:
    """The models that are here besides the one that is set."""
    chosen = entry_of(app.config).name
    for entry in entries(app.config["MODELS_FILE"]):
        found = present(entry, app.config["MODELS"]) if entry.name != chosen else None
        if found:
            yield True, f"model {entry.name} is here too, revision {found.revision or 'unknown'}"


def _runner(app: Flask) -> Finding:
    try:
        found = runners.current(app.config["LEASE_SECONDS"])
    except SQLAlchemyError:
        return False, "runner unknown: the database cannot be read"
    if found is None:
        return False, "no runner: start the site, or `chatsite runner`"
    reason = f": {found.reason}" if found.reason else ""
    line = f"runner {found.owner} with {found.model}: {found.state.value}{reason}"
    return found.state is not RunnerState.FAILED, line
