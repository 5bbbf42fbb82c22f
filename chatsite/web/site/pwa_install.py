"""The web app manifest, with which phones and desktops install the site as an app."""

from __future__ import annotations

from flask import Blueprint, Response, abort, current_app, json, url_for
from flask_babel import force_locale, gettext

from chatsite.settings import LANGUAGES

bp = Blueprint("pwa_install", __name__)

DAY_SECONDS = 24 * 3600
# Shown while the app starts: the background of the light theme, and the green of the icon.
BACKGROUND_COLOR, THEME_COLOR = "#fcfbf9", "#176b5f"
ICONS = (
    ("icons/app.svg", "any", "any"),
    ("icons/app-192.png", "192x192", "any"),
    ("icons/app-512.png", "512x512", "any"),
    ("icons/app-maskable-512.png", "512x512", "maskable"),
)


@bp.get("/manifest/<language>.webmanifest")
def show(language: str) -> Response:
    """Return the manifest. Browsers request it without cookies, so its address contains the language."""
    if language not in LANGUAGES:
        abort(404)
    with force_locale(language):
        response = Response(json.dumps(_build_manifest(language)), mimetype="application/manifest+json")
    response.headers["Cache-Control"] = f"private, max-age={DAY_SECONDS}"
    return response


def _build_manifest(language: str) -> dict[str, object]:
    asset = current_app.jinja_env.globals["asset"]
    return {
        "id": url_for("conversations.new"),
        "start_url": url_for("conversations.new"),
        "scope": url_for("conversations.new"),
        "name": "chatsite",
        "short_name": "chatsite",
        "description": gettext("Chat with open models on your own site."),
        "lang": language,
        "dir": "ltr",
        "display": "standalone",
        "background_color": BACKGROUND_COLOR,
        "theme_color": THEME_COLOR,
        "icons": [
            {"src": asset(name), "sizes": sizes, "purpose": purpose}  # type: ignore[operator]
            for name, sizes, purpose in ICONS
        ],
        "shortcuts": [
            {"name": gettext("New chat"), "url": url_for("conversations.new")},
            {"name": gettext("Temporary chat"), "url": url_for("conversations.new", temporary=1)},
            {"name": gettext("Search"), "url": url_for("search.index")},
        ],
    }
