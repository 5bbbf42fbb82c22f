"""Checks an installation and reports its problems."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import click
from alembic.runtime.migration import MigrationContext
from flask import Flask
from flask_babel import force_locale, gettext, ngettext
from pysqlite3 import dbapi2 as sqlite
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from chatsite import create_app
from chatsite.cli.configured_model import find_configured_model
from chatsite.cli.language import detect_language
from chatsite.cli.revisions import latest_revision, read_revision, require_known
from chatsite.config import SECRET_KEY_FILE
from chatsite.database import db
from chatsite.database_connections import sqlite_wal_is_safe
from chatsite.engine.catalog.catalog import FolderSource, PyPISource, list_entries
from chatsite.engine.downloads.weights import find_local
from chatsite.engine.inference.native import load_library
from chatsite.errors import ChatsiteError, DatabaseFileDamagedError, DatabaseMissingError, StorageError
from chatsite.i18n import describe_error, translate_error
from chatsite.models import RunnerState
from chatsite.services.leases import measure_clock_offset
from chatsite.services.models import endpoints, runners
from chatsite.services.models.catalog import read_catalog_config
from chatsite.services.search import indexes

CheckResult = tuple[bool, str]
MAX_CLOCK_OFFSET_SECONDS = 5.0


def run_checks() -> int:
    """Print one line for each finding. Return 1 if there is a problem, else 0.

    Raises ConfigError for a setting that cannot be used.
    """
    app = create_app()
    with app.app_context(), force_locale(detect_language(app)):
        results = [
            *_check_software(),
            _check_database(app),
            *_check_clock(),
            _check_search_index(),
            _check_model(app),
            *_check_other_models(app),
            *_check_endpoints(app),
            _check_runner(app),
        ]
    for is_ok, line in results:
        click.echo(("ok    " if is_ok else "FAIL  ") + line)
    return 0 if all(is_ok for is_ok, _ in results) else 1


def _check_software() -> Iterator[CheckResult]:
    yield True, f"Python {platform.python_version()}"
    is_wal_safe = sqlite_wal_is_safe(sqlite.sqlite_version_info)
    yield (
        is_wal_safe,
        f"SQLite {sqlite.sqlite_version}"
        + ("" if is_wal_safe else ": " + gettext("two processes writing at once can corrupt the database")),
    )
    yield (
        True,
        gettext("compiled code in use")
        if load_library()
        else gettext("no compiled code: 8-bit models take twice as long"),
    )


def _check_database(app: Flask) -> CheckResult:
    """Check that the database can be read, is whole and has all migrations."""
    url = app.config["DATABASE_FILE"] or db.engine.url.render_as_string(hide_password=True)
    try:
        current_revision = _read_revision(app)
    except StorageError as error:
        return False, gettext(
            "can't connect to database %(address)s: %(cause)s", address=url, cause=translate_error(error)
        )
    except ChatsiteError as error:
        return False, translate_error(error)
    if current_revision != latest_revision():
        outdated = gettext(
            "database %(address)s is at %(current)s, not at %(newest)s: run `chatsite migrate`",
            address=url,
            current=current_revision,
            newest=latest_revision(),
        )
        return False, outdated
    return True, gettext("database %(address)s at %(current)s", address=url, current=current_revision)


def _check_clock() -> Iterator[CheckResult]:
    """Compare the clock of this machine with that of a database server, by which leases end."""
    try:
        clock_offset = measure_clock_offset()
    except (SQLAlchemyError, StorageError):
        return
    if clock_offset is not None:
        line = gettext("clock of this machine %(seconds)s s from the database's", seconds=f"{clock_offset:+.1f}")
        yield abs(clock_offset) <= MAX_CLOCK_OFFSET_SECONDS, line


def _read_revision(app: Flask) -> str | None:
    """Return the last migration of the database. Raises ChatsiteError if it cannot be used as it is."""
    file: Path | None = app.config["DATABASE_FILE"]
    if file is None:
        with db.engine.connect() as connection:
            revision = MigrationContext.configure(connection).get_current_revision()
        require_known(revision)
        return revision
    revision = read_revision(file)
    if revision is None and (app.config["INSTANCE"] / SECRET_KEY_FILE).exists():
        raise DatabaseMissingError(file=file)
    if revision is not None:
        result = db.session.scalar(text("PRAGMA quick_check(1)"))
        if result != "ok":
            raise DatabaseFileDamagedError(file=file, cause=str(result).splitlines()[-1])
    return revision


def _check_search_index() -> CheckResult:
    """Check that the search index holds all messages."""
    try:
        drift_count = indexes.count_drift()
    except (SQLAlchemyError, StorageError):
        return False, gettext("search index unknown: the database cannot be read")
    if drift_count:
        return False, gettext(
            "search index: %(count)s entries missing or outdated: run `chatsite reindex`", count=drift_count
        )
    return True, gettext("search index complete")


def _check_model(app: Flask) -> CheckResult:
    entry = find_configured_model(app.config)
    source = entry.source
    if isinstance(source, PyPISource) and not find_local(entry, app.config["MODELS"]):
        return False, gettext("model %(name)s is not downloaded: run `chatsite setup`", name=entry.name)
    folder: Path | str = source.path if isinstance(source, FolderSource) else ""
    return True, gettext("model %(name)s %(folder)s", name=entry.name, folder=folder).rstrip()


def _check_other_models(app: Flask) -> Iterator[CheckResult]:
    """Check the downloaded models other than the configured one."""
    configured_name = find_configured_model(app.config).name
    for entry in list_entries(app.config["CUSTOM_MODELS_FILE"]):
        installed = find_local(entry, app.config["MODELS"]) if entry.name != configured_name else None
        if installed:
            revision = installed.revision or gettext("unknown")
            yield (
                True,
                gettext("model %(name)s also downloaded, revision %(revision)s", name=entry.name, revision=revision),
            )


def _check_endpoints(app: Flask) -> Iterator[CheckResult]:
    """Say how the servers of other models answered a runner when it last asked them."""
    try:
        cards = endpoints.list_cards(read_catalog_config(app.config))
    except (SQLAlchemyError, StorageError):
        return
    for card in cards:
        name, address = card.name, urlsplit(card.endpoint.url).netloc
        if card.error:
            cause = describe_error(card.error)
            yield False, gettext("server %(name)s at %(address)s: %(cause)s", name=name, address=address, cause=cause)
        elif card.is_ready:
            count = len(card.models)
            line = ngettext(
                "server %(name)s at %(address)s: %(num)s model",
                "server %(name)s at %(address)s: %(num)s models",
                count,
                name=name,
                address=address,
            )
            yield True, line
        else:
            yield True, gettext("server %(name)s at %(address)s: not asked yet", name=name, address=address)


def _check_runner(app: Flask) -> CheckResult:
    try:
        current_runner = runners.find_current(app.config["LEASE_SECONDS"])
    except (SQLAlchemyError, StorageError):
        return False, gettext("runner unknown: the database cannot be read")
    if current_runner is None:
        return False, gettext("no runner: start the site or `chatsite runner`")
    line = gettext(
        "runner %(owner)s with %(model)s: %(state)s",
        owner=current_runner.id,
        model=current_runner.model,
        state=current_runner.state.value,
    )
    line += f": {describe_error(current_runner.error)}" if current_runner.error else ""
    return current_runner.state is not RunnerState.FAILED, line
