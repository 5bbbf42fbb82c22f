"""A site in a sub-path of its host, such as `/chat`: where its addresses begin, and the address of the current page.

The prefix is the setting BASE_PATH, or else what a trusted proxy says in the header X-Forwarded-Prefix. It becomes the
SCRIPT_NAME of WSGI, with which Flask begins every address that it builds. Nothing may write an address by hand.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from flask import Flask, has_request_context, request
from werkzeug.utils import redirect

from chatsite.settings import BASE_PATH

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# With one of these, escaped or not, a path leads out of the folder that it begins with. In a query it means nothing.
DOT_SEGMENT = re.compile(r"^[^?#]*[/\\](?:\.|%2e){1,2}(?:[/\\?#]|$)", re.IGNORECASE)


class SubPath:
    """WSGI middleware that tells the site its prefix.

    A proxy that sends the header removes the prefix from the path, by convention. With the setting it may do so or not.
    """

    def __init__(self, app: WSGIApplication, base_path: str, trusts_proxy: bool) -> None:
        self._app = app
        self._base_path = base_path
        self._trusts_proxy = trusts_proxy

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Pass a request on with its prefix in SCRIPT_NAME and the rest of its path in PATH_INFO."""
        prefix, path = self._base_path, environ.get("PATH_INFO", "")
        if prefix and path == prefix:
            query = environ.get("QUERY_STRING", "")
            return redirect(f"{prefix}/?{query}" if query else f"{prefix}/", 308)(environ, start_response)
        if prefix and path.startswith(f"{prefix}/"):
            environ["PATH_INFO"] = path.removeprefix(prefix)
        if prefix := prefix or self._forwarded_prefix(environ):
            environ["SCRIPT_NAME"] = prefix
        return self._app(environ, start_response)

    def _forwarded_prefix(self, environ: WSGIEnvironment) -> str:
        """Return the prefix that the nearest proxy names; empty if there is none that is a path."""
        if not self._trusts_proxy:
            return ""
        prefix: str = environ.get("HTTP_X_FORWARDED_PREFIX", "").rpartition(",")[2].strip().rstrip("/")
        return prefix if BASE_PATH.fullmatch(prefix) else ""


def init_app(app: Flask) -> None:
    """Wrap the app and what wraps it already, and register the template globals `current_path` and `current_url`."""
    app.wsgi_app = SubPath(  # type: ignore[method-assign]
        app.wsgi_app, app.config["BASE_PATH"], trusts_proxy=app.config["TRUSTED_PROXY_COUNT"] > 0
    )
    app.jinja_env.globals.update(current_path=current_path, current_url=current_url)


def site_prefix() -> str:
    """Return what the paths of the site begin with: empty, or a path such as `/chat`."""
    return request.root_path if has_request_context() else ""


def front_page() -> str:
    """Return the path of the front page."""
    return f"{site_prefix()}/"


def current_path() -> str:
    """Return the path of the request as the browser has it."""
    return site_prefix() + request.path


def current_url() -> str:
    """Return the path of the request as the browser has it, with its query."""
    return site_prefix() + request.full_path.rstrip("?")


def is_own_path(path: str) -> bool:
    """Return whether `path`, as the browser has it, is on this site and on no other one on the same host."""
    # Browsers read `//host` and `/\host` as other hosts, and remove tabs and line ends before they look.
    is_here = path.startswith(front_page()) and not path.startswith(("//", "/\\")) and path.isprintable()
    return is_here and not DOT_SEGMENT.search(path)
