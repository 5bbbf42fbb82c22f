"""The choice of a language, kept in a cookie."""

from __future__ import annotations

from flask import Blueprint, abort, redirect, request
from werkzeug.wrappers import Response

from chatsite.web.i18n import LANGUAGE_COOKIE, LANGUAGES
from chatsite.web.security import local_path

bp = Blueprint("language", __name__)

YEAR = 365 * 24 * 3600


@bp.post("/language")
def create() -> Response:
    """Keep the chosen language and go back to where it was chosen."""
    language = request.form.get("language", "")
    if language not in LANGUAGES:
        abort(422)
    response = redirect(local_path(request.form.get("next")), code=303)
    response.set_cookie(LANGUAGE_COOKIE, language, max_age=YEAR, samesite="Lax", httponly=True)
    return response
