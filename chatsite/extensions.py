"""Flask extensions, which `init_app` binds to an app."""

from __future__ import annotations

from pathlib import Path

from flask import Flask
from flask_babel import Babel
from flask_migrate import Migrate
from flask_wtf.csrf import CSRFProtect

from chatsite.database import db
from chatsite.settings import ROOT

babel = Babel()
csrf = CSRFProtect()
migrate = Migrate()

MIGRATIONS_FOLDER: Path = ROOT / "migrations"


def init_app(app: Flask) -> None:
    """Bind all extensions but the database, which `chatsite.database` binds itself."""
    # Alembic compares the database with the models that are imported.
    import chatsite.models  # noqa: F401
    from chatsite import i18n

    babel.init_app(app, locale_selector=i18n.select_locale, timezone_selector=i18n.select_timezone)
    i18n.init_app(app)
    csrf.init_app(app)
    migrate.init_app(app, db, directory=str(MIGRATIONS_FOLDER), render_as_batch=True)
