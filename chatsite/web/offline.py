"""The page for when the site cannot be reached, and the service worker that keeps it in the browser."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from flask import Blueprint, Response, current_app, render_template

from chatsite.web.assets import bare
from chatsite.web.htmx import headers, make_response

bp = Blueprint("offline", __name__)


@bp.get("/offline")
def show() -> Response | str:
    """The page; when it asks itself whether the site is back, the answer is to load what was asked for."""
    if headers().wants_fragment:
        return make_response("", refresh=True)
    return render_template("offline/show.html")


@bp.get("/sw.js")
def worker() -> Response:
    """The service worker. It is another one, and so takes the page anew, whenever the page is: after an update of the
    site, and when the visitor chose another language or theme.
    """
    edition = hashlib.sha256(render_template("offline/show.html").encode()).hexdigest()[:8]
    response = Response(f"// {edition}\n{_script()}", mimetype="text/javascript")
    response.headers["Cache-Control"] = "no-cache"
    return response


@lru_cache(maxsize=1)
def _script() -> str:
    return bare((Path(current_app.static_folder or "static") / "sw.js").read_text(encoding="utf-8"))
