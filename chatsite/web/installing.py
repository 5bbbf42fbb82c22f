"""What a phone or a desktop needs to install the site as an app."""

from __future__ import annotations

from flask import Blueprint, Response, abort, current_app, json, url_for
from flask_babel import force_locale, gettext

from chatsite.web.i18n import LANGUAGES

bp = Blueprint("installing", __name__)

DAY = 24 * 3600
# What is seen while the app starts: the light page, and the green of its icon in lists of windows.
PAPER, GREEN = "#fcfbf9", "#176b5f"
ICONS = (
    ("icons/app.svg", "any", "any"),
    ("icons/app-192.png", "192x192", "any"),
    ("icons/app-512.png", "512x512", "any"),
    ("icons/app-maskable-512.png", "512x512", "maskable"),
)


@bp.get("/manifest/<language>.webmanifest")
def show(language: str) -> Response:
    """The manifest. Browsers ask for it without cookies, so the language is in its address."""
    if language not in LANGUAGES:
        abort(404)
    with force_locale(language):
        response = Response(json.dumps(_manifest(language)), mimetype="application/manifest+json")
    response.headers["Cache-Control"] = f"public, max-age={DAY}"
    return response


def _manifest(language: str) -> dict[str, object]:
    asset = current_app.jinja_env.globals["asset"]
    return {
        "id": "/",
        "start_url": url_for("conversations.new"),
        "scope": "/",
        "name": "chatsite",
        "short_name": "chatsite",
        "description": gettext("Chat with open models, on a site of one's own."),
        "lang": language,
        "dir": "ltr",
        "display": "standalone",
        "background_color": PAPER,
        "theme_color": GREEN,
        "icons": [
            {"src": asset(name), "sizes": sizes, "purpose": purpose}  # type: ignore[operator]
            for name, sizes, purpose in ICONS
        ],
        "shortcuts": [
            {"name": gettext("New conversation"), "url": url_for("conversations.new")},
            {"name": gettext("Temporary chat"), "url": url_for("conversations.new", temporary=1)},
            {"name": gettext("Search"), "url": url_for("search.index")},
        ],
    }
