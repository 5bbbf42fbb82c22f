"""chatsite: a self-hosted chat site on open models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flask import Flask


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Make the site.

    Settings come from the environment (`chatsite.config.SETTINGS`); `config` overrides them by name, and after them any
    Flask configuration. Raises ConfigError for a setting that cannot be used.
    """
    # Imported here, so that gunicorn's master and the small commands start without all of it.
    from flask import Flask

    from chatsite import database, extensions, logs, web
    from chatsite.config import ROOT, SETTINGS, flask_config, read_settings

    config = dict(config or {})
    settings = {setting.name: config.pop(setting.name) for setting in SETTINGS if setting.name in config}
    app = Flask(__name__, template_folder=str(ROOT / "templates"), static_folder=str(ROOT / "static"))
    app.config.from_mapping(flask_config({**read_settings(), **settings}))
    app.config.from_mapping(config)
    logs.init_app(app)
    database.init_app(app)
    extensions.init_app(app)
    web.init_app(app)
    return app
