"""Forms can only GET and POST; `?_method=DELETE` in the action of a form says what is meant."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from flask import Flask

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

METHODS = {"PUT", "PATCH", "DELETE"}


class MethodOverride:
    """WSGI middleware: a POST whose query names another method becomes a request of that method."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "POST" and "_method=" in environ.get("QUERY_STRING", ""):
            wanted = parse_qs(environ["QUERY_STRING"]).get("_method", [""])[0].upper()
            if wanted in METHODS:
                environ["REQUEST_METHOD"] = wanted
        return self._app(environ, start_response)


def init_app(app: Flask) -> None:
    """Wrap the app."""
    app.wsgi_app = MethodOverride(app.wsgi_app)  # type: ignore[method-assign]
