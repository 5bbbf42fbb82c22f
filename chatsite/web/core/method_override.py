"""Method override: `?_method=DELETE` in the action of a form, since HTML forms know only GET and POST."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from flask import Flask

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

OVERRIDABLE_METHODS = {"PUT", "PATCH", "DELETE"}


class MethodOverride:
    """WSGI middleware that turns a POST with `_method` in its query into a request with that method."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "POST" and "_method=" in environ.get("QUERY_STRING", ""):
            method = parse_qs(environ["QUERY_STRING"]).get("_method", [""])[0].upper()
            if method in OVERRIDABLE_METHODS:
                environ["REQUEST_METHOD"] = method
        return self._app(environ, start_response)


def init_app(app: Flask) -> None:
    """Wrap the WSGI app in the middleware."""
    app.wsgi_app = MethodOverride(app.wsgi_app)  # type: ignore[method-assign]
