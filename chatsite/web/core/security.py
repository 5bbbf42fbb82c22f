"""Security headers, request ids in the log, and redirects that stay on the site."""

from __future__ import annotations

import secrets
import time

import structlog
from flask import Flask, Response, abort, current_app, g, request, session
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import SecurityError
from werkzeug.middleware.proxy_fix import ProxyFix

from chatsite.errors import TooManyUploadsError
from chatsite.web.core.network import current_network
from chatsite.web.core.site_addresses import is_host_admitted
from chatsite.web.core.slots import SlotLimiter
from chatsite.web.core.sub_path import front_page, is_own_path

log = structlog.get_logger()

# Everything is forbidden but our own files, without inline scripts or styles: HTML that gets past the sanitizer still
# cannot run code or load anything. Icons in style sheets are data URLs.
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
# A larger body takes a thread while it arrives (`chatsite.web.core.gunicorn_worker`).
COLLECTED_BODY_BYTES = 16 * 1024
NETWORKS_THAT_FILL_SLOTS = 8
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    # For browsers that do not know `frame-ancestors`.
    "X-Frame-Options": "DENY",
    # Addresses of shares and terminal links are secrets.
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # The microphone is for dictation, which the browser does.
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(self)",
}


def init_app(app: Flask) -> None:
    """Set security headers on every response, add a request id to the log, and trust the configured proxies."""
    # Before the CSRF check, so that requests that it rejects have an id in the log too.
    app.before_request_funcs.setdefault(None, [])[:0] = [_begin_request, _read_body]
    app.extensions["body_limiter"] = _make_body_limiter(app.config["THREADS"] // 4)
    app.after_request(_add_headers)
    proxies = app.config["TRUSTED_PROXY_COUNT"]
    if proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=proxies, x_host=proxies)  # type: ignore[method-assign]


def _make_body_limiter(max_slots: int) -> SlotLimiter:
    """Return the limiter of large bodies: many networks are needed to take the slots of all."""
    per_network = max(1, max_slots // NETWORKS_THAT_FILL_SLOTS)
    return SlotLimiter(max_slots, {"network": per_network}, TooManyUploadsError)


def safe_redirect_path(path: str | None) -> str:
    """Return `path` if it is on this site, or else the front page, so that no link to us redirects elsewhere."""
    return path if path and is_own_path(path) else front_page()


def _begin_request() -> None:
    g.started = time.monotonic()
    g.request_id = secrets.token_hex(8)
    # Threads are reused, and their context would still name the generation of an earlier request.
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request=g.request_id)
    if not is_host_admitted(request.host):
        raise SecurityError


def _read_body() -> None:
    """Read the form, unless it is large and there is a reason not to. What is refused is not read for the error page.

    Raises CSRFError for files and long texts of a visitor without a session, who could not pass the CSRF check. Their
    other forms are read, because the error page keeps the text. Raises TooManyUploadsError while many large bodies
    arrive, each of which takes a thread.
    """
    is_large = (request.content_length or 0) > COLLECTED_BODY_BYTES
    max_content_length, request.max_content_length = request.max_content_length, 0
    if "Transfer-Encoding" in request.headers:
        abort(411)
    if "csrf_token" not in session and (is_large or request.mimetype == "multipart/form-data"):
        raise CSRFError
    limiter: SlotLimiter = current_app.extensions["body_limiter"]
    network = current_network() if is_large else None
    release = limiter.acquire_slot(network=network.key if network else None) if is_large else None
    request.max_content_length = max_content_length
    try:
        has_nameless_part = None in request.form
    finally:
        if release:
            release()
    if has_nameless_part:
        # Flask-WTF fails if a part of a multipart form has no name.
        abort(400)


def _add_headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    # Pages are private, and the Back button must not show a conversation as it was before a change.
    if "Cache-Control" not in response.headers:
        response.headers["Cache-Control"] = "no-store"
    response.headers["X-Request-ID"] = g.get("request_id", "")
    seconds = round(time.monotonic() - g.get("started", time.monotonic()), 4)
    # The rule and not the address: addresses of shares and terminal links are secrets, and search terms are private.
    log.info("request", method=request.method, rule=str(request.url_rule), status=response.status_code, seconds=seconds)
    return response
