"""The terminal's language."""

from __future__ import annotations

import os

from flask import Flask
from flask_babel import gettext

from chatsite.errors import ChatsiteError
from chatsite.web.i18n import LANGUAGES


def language(app: Flask) -> str:
    """The language that the environment asks for, if we speak it, or else the site's."""
    wish = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
    default: str = app.config["LANGUAGE"]
    return wish[:2].lower() if wish[:2].lower() in LANGUAGES else default


def translated(error: ChatsiteError) -> str:
    """The sentence of an error in that language."""
    text: str = gettext(error.sentence, **error.params)
    return text
