"""The app without HTTP: settings, logs and the database, which is all that a runner needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Flask

from chatsite import database, logs
from chatsite.config import flask_config, read_settings
from chatsite.private_files import restrict_database
from chatsite.settings import ROOT, SETTINGS


def create_bare_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Create an app with settings, logs and the database; `chatsite.create_app` adds the site to it.

    Settings come from the environment (`chatsite.settings.SETTINGS`); `config` overrides them by name, and may
    contain any Flask configuration. Raises ConfigError for an invalid setting.
    """
    config = dict(config or {})
    settings = {setting.name: config.pop(setting.name) for setting in SETTINGS if setting.name in config}
    values = flask_config({**read_settings(), **settings})
    app = Flask(
        "chatsite",
        template_folder=str(ROOT / "templates"),
        static_folder=str(ROOT / "static"),
        # What a relative address of a SQLite file is relative to.
        instance_path=str(values["INSTANCE"]),
    )
    app.config.from_mapping(values)
    app.config.from_mapping(config)
    logs.init_app(app)
    database.init_app(app)
    restrict_database(app.config["SQLALCHEMY_DATABASE_URI"])
    return app
