"""The offline page, and the service worker that caches it in the browser."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from flask import Blueprint, Response, current_app, render_template

from chatsite.web.core.assets import strip_comments
from chatsite.web.core.htmx import htmx_headers, htmx_response

bp = Blueprint("offline", __name__)


@bp.get("/offline")
def show() -> Response | str:
    """Show the offline page; its own request by htmx reloads the address that could not be reached."""
    if htmx_headers().wants_fragment:
        return htmx_response("", refresh=True)
    return render_template("offline/show.html")


@bp.get("/sw.js")
def service_worker() -> Response:
    """Return the service worker, with a digest of the offline page in its first line.

    A changed digest makes browsers install the worker again and with it cache the page again: after an update of the
    site, and when the visitor chose another language or theme.
    """
    version = hashlib.sha256(render_template("offline/show.html").encode()).hexdigest()[:8]
    response = Response(f"// {version}\n{_service_worker_script()}", mimetype="text/javascript")
    response.headers["Cache-Control"] = "no-cache"
    return response


@lru_cache(maxsize=1)
def _service_worker_script() -> str:
    return strip_comments((Path(current_app.static_folder or "static") / "sw.js").read_text(encoding="utf-8"))
