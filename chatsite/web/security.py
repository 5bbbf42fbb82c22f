"""Headers that keep a page to itself, and addresses that stay on the site."""

from __future__ import annotations

import secrets
import time

import structlog
from flask import Flask, Response, abort, g, request
from werkzeug.middleware.proxy_fix import ProxyFix

log = structlog.get_logger()

CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "manifest-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def init_app(app: Flask) -> None:
    """Set the headers on every response, name every request in the log, and trust the configured proxies."""
    # First of all, so that what the check of the CSRF token refuses has a name in the log too.
    app.before_request_funcs.setdefault(None, []).insert(0, _begin)
    app.after_request(_finish)
    proxies = app.config["PROXIES"]
    if proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=proxies, x_host=proxies)  # type: ignore[method-assign]


def local_path(address: str | None) -> str:
    """The address if it is a path on this site, or else the front page: nobody is sent elsewhere by a link to us."""
    local = address and address.startswith("/") and not address.startswith(("//", "/\\"))
    return address if address and local and address.isprintable() else "/"


def _begin() -> None:
    g.started = time.monotonic()
    g.request_id = secrets.token_hex(8)
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request=g.request_id)
    if None in request.form:
        # Flask-WTF breaks on a part of a multipart form that has no name.
        abort(400)


def _finish(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if "Cache-Control" not in response.headers:
        response.headers["Cache-Control"] = "no-store"
    response.headers["X-Request-ID"] = g.get("request_id", "")
    seconds = round(time.monotonic() - g.get("started", time.monotonic()), 4)
    # The rule and not the address: an address may be a secret, and what people search for is their own business.
    log.info("request", method=request.method, rule=str(request.url_rule), status=response.status_code, seconds=seconds)
    return response
