"""Flask extensions, which `init_app` binds to an app."""

from __future__ import annotations

from flask import Flask
from flask_babel import Babel
from flask_wtf.csrf import CSRFProtect

babel = Babel()
csrf = CSRFProtect()


def init_app(app: Flask) -> None:
    """Bind all extensions but the database, which `chatsite.database` binds itself."""
    from chatsite import i18n

    babel.init_app(app, locale_selector=i18n.select_locale, timezone_selector=i18n.select_timezone)
    i18n.init_app(app)
    csrf.init_app(app)
