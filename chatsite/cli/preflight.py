"""The checks before anything is served; fast when there is nothing to do."""

from __future__ import annotations

from chatsite.cli.configured_model import find_configured_model, may_be_added
from chatsite.cli.revisions import latest_revision, read_revision
from chatsite.config import flask_config, read_settings


def run_preflight(allow_new: bool = False) -> None:
    """Check the settings and bring the database up to date.

    `allow_new` permits an empty database where there has been one. Raises ConfigError for a setting that cannot be
    used, and what `migrate_database` raises.
    """
    config = flask_config(read_settings())
    is_supervised = config["RUNNER"] == "supervised"
    if is_supervised and not may_be_added(config):
        find_configured_model(config)
    file = config["DATABASE_FILE"]
    if file is None or read_revision(file) != latest_revision():
        # What migrates takes most of a second to import, and at most starts there is nothing to migrate.
        from chatsite import create_app
        from chatsite.cli.migrations import migrate_database

        migrate_database(create_app(), allow_new=allow_new)
    if is_supervised and may_be_added(config):
        # Only now the database can say which endpoints were added.
        find_configured_model(config)
