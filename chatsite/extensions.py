"""The extensions, unbound: `init_app` binds them to an app."""

from __future__ import annotations

from pathlib import Path

from flask import Flask
from flask_babel import Babel
from flask_migrate import Migrate
from flask_wtf.csrf import CSRFProtect

from chatsite.config import ROOT
from chatsite.database import db

babel = Babel()
csrf = CSRFProtect()
migrate = Migrate()

MIGRATIONS: Path = ROOT / "migrations"


def init_app(app: Flask) -> None:
    """Bind all extensions but the database, which needs more care (`chatsite.database`)."""
    # The models must be known before a migration is compared with them.
    import chatsite.models  # noqa: F401
    from chatsite.web.i18n import locale, timezone

    babel.init_app(app, locale_selector=locale, timezone_selector=timezone)
    csrf.init_app(app)
    migrate.init_app(app, db, directory=str(MIGRATIONS), render_as_batch=True)
