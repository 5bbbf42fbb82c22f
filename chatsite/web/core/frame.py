"""The frame of a page: the list, the palette and all else that stays while the column beside the list is exchanged.

A request for a column or for a sheet gets the same page without its frame, from the same template. Its response names
the page version, so that an open page that differs in more than its column is loaded as a whole.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Callable

from flask import Flask, Response, current_app, g, request, session
from flask_babel import get_locale
from flask_wtf.csrf import generate_csrf

from chatsite.web.core.htmx import htmx_headers
from chatsite.web.core.preferences import current_preferences

VERSION_HEADER = "Page-Version"
VERSIONED_ASSETS = ("app.css", "app.js", "htmx.js", "icons/icons.svg")
VERSION_CHARS = 12


class Frame(enum.StrEnum):
    """How much of a page is asked for: all of it, the column beside the list, or what a sheet shows."""

    FULL = "full"
    COLUMN = "column"
    SHEET = "sheet"

    @property
    def version(self) -> str:
        """The page version."""
        return page_version()


def init_app(app: Flask) -> None:
    """Register the template global `requested_frame`, and name the page version in the responses without one."""
    app.jinja_env.globals["requested_frame"] = requested_frame
    app.after_request(_add_version)


def requested_frame() -> Frame:
    """Return how much of the page the request asks for."""
    headers = htmx_headers()
    frame = Frame.COLUMN if headers.wants_column else Frame.SHEET if headers.wants_sheet else Frame.FULL
    # Only pages of the usual layout ask; what has another one can be no column.
    g.frame = frame
    return frame


def page_version() -> str:
    """Return a digest of what a page has besides its column: assets, language, preferences and session."""
    generate_csrf()
    preferences = current_preferences()
    asset: Callable[[str], str] = current_app.jinja_env.globals["asset"]  # type: ignore[assignment]
    parts = [
        *map(asset, VERSIONED_ASSETS),
        get_locale(),
        preferences.theme,
        preferences.enter,
        preferences.voice,
        session.get("csrf_token"),
    ]
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:VERSION_CHARS]


def _add_version(response: Response) -> Response:
    if request and g.get("frame", Frame.FULL) != Frame.FULL and response.mimetype == "text/html":
        response.headers[VERSION_HEADER] = page_version()
    return response
