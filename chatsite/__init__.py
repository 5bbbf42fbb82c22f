"""chatsite: a self-hosted chat site on open models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flask import Flask


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Create the site with the settings of the environment, overridden by `config` (`chatsite.app.create_bare_app`).

    Raises ConfigError for an invalid setting.
    """
    # Imported here, so that gunicorn's master and the small commands start without the whole site.
    from chatsite import extensions, web
    from chatsite.app import create_bare_app

    app = create_bare_app(config)
    extensions.init_app(app)
    web.init_app(app)
    return app
