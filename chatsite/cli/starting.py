"""What has to be in order before anything is served; quick where it is."""

from __future__ import annotations

import contextlib
from pathlib import Path

from pysqlite3 import dbapi2 as sqlite

from chatsite.cli.setup import entry_of
from chatsite.config import ROOT, flask_config, read_settings

SQLITE = "sqlite:///"


def prepare() -> None:
    """Check the settings and bring the database up to date. Raises ConfigError for a setting that cannot be used."""
    config = flask_config(read_settings())
    if config["RUNNER"] == "supervised":
        entry_of(config)
    if not is_up_to_date(config["SQLALCHEMY_DATABASE_URI"]):
        # What migrates takes most of a second to import, and at most starts there is nothing to migrate.
        from chatsite import create_app
        from chatsite.cli.database import bring_up_to_date

        bring_up_to_date(create_app())


def newest_migration() -> str:
    """The name of the newest migration: the number that its file begins with."""
    return max(path.name for path in (ROOT / "migrations" / "versions").glob("[0-9]*.py")).partition("_")[0]


def is_up_to_date(url: str) -> bool:
    """Whether the database is one of SQLite and surely has all migrations."""
    if not url.startswith(SQLITE):
        return False
    file = Path(url.removeprefix(SQLITE)).absolute().as_uri()
    try:
        with contextlib.closing(sqlite.connect(f"{file}?mode=ro", uri=True)) as connection:
            rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    except sqlite.Error:
        return False
    return bool(rows == [(newest_migration(),)])
