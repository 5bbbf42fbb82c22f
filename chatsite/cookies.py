"""The cookies of the site: names that no other site on the same host has, and the flags that all of them have.

Browsers keep cookies by host and not by port, so two sites on one host with the same names would overwrite each other's
cookies. Each name therefore ends with a suffix of its own for each site. Over HTTPS it begins with a prefix with which
browsers accept it from this host only (`__Host-`), or, in a sub-path, over HTTPS only (`__Secure-`):
https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Set-Cookie. The reasons are in
docs/decisions/0031-cookies-and-sub-paths.md.
"""

from __future__ import annotations

from typing import Any

from flask import Flask, Request, current_app, request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from itsdangerous import BadSignature
from werkzeug.wrappers import Response as BaseResponse

USER = "chatsite_visitor"
SESSION = "chatsite_session"
LANGUAGE = "chatsite_language"
TIMEZONE = "chatsite_timezone"
PREFERENCES = "chatsite_preferences"
ROWS = "chatsite_rows"
FIRST_RUN = "chatsite_welcome"

YEAR_SECONDS = 365 * 24 * 3600
SECURE_PREFIXES = ("__Host-", "__Secure-")


class SessionInterface(SecureCookieSessionInterface):
    """Flask's signed session, in a cookie with the name and path of this site."""

    def get_cookie_name(self, app: Flask) -> str:
        """Return the name of the session cookie."""
        return cookie_name(SESSION)

    def get_cookie_path(self, app: Flask) -> str:
        """Return the path of the session cookie."""
        return cookie_path()

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """Read the session. Without HTTPS, read the one of a page that was opened before the name had a suffix too."""
        session = super().open_session(app, request)
        former = "" if app.config["SECURE_COOKIES"] else request.cookies.get(SESSION, "")
        if session or not former:
            # Over HTTPS a neighboring host may have planted the former cookie, with a CSRF token that it knows.
            return session
        serializer = self.get_signing_serializer(app)
        try:
            return self.session_class(serializer.loads(former)) if serializer else session
        except BadSignature:
            return session


def init_app(app: Flask) -> None:
    """Give the session cookie its name, and register the template global `timezone_cookie`."""
    app.session_interface = SessionInterface()
    app.jinja_env.globals["timezone_cookie"] = timezone_cookie


def cookie_name(base_name: str) -> str:
    """Return the name of a cookie on this site, given the part of it that all sites share."""
    prefix = ""
    if current_app.config["SECURE_COOKIES"]:
        prefix = "__Secure-" if request.script_root else "__Host-"
    return f"{prefix}{base_name}_{current_app.config['COOKIE_SUFFIX']}"


def cookie_path() -> str:
    """Return the path of all cookies: the sub-path of the site without a final slash, as `/chat` is a page too."""
    return request.script_root or "/"


def read_cookie(base_name: str) -> str:
    """Return the value of a cookie of this site, or else of the one without a suffix of earlier versions."""
    suffixed = f"{base_name}_{current_app.config['COOKIE_SUFFIX']}"
    names = [cookie_name(base_name), *(prefix + suffixed for prefix in (*SECURE_PREFIXES, "")), base_name]
    return next((request.cookies[name] for name in names if name in request.cookies), "")


def candidates(base_name: str) -> dict[str, str]:
    """Return the values of all cookies by name that this or another site set under `base_name`; the current one first.

    The suffix follows from the secret key, so a new key must not hide what was set before.
    """
    own = cookie_name(base_name)
    names = [name for name in request.cookies if _base_name(name) == base_name]
    names.sort(key=lambda name: (name != own, not is_host_bound(name), name != base_name))
    return {name: request.cookies[name] for name in names}


def is_host_bound(name: str) -> bool:
    """Return whether the name of a cookie keeps neighboring hosts from setting it, as far as the site can have that.

    Any host of the domain may set a `__Secure-` cookie, so it counts only in a sub-path, where `__Host-` cannot be had.
    """
    return name.startswith(SECURE_PREFIXES if request.script_root else "__Host-")


def _base_name(name: str) -> str:
    for prefix in SECURE_PREFIXES:
        name = name.removeprefix(prefix)
    return "_".join(name.split("_")[:2])


def set_cookie(response: BaseResponse, base_name: str, value: str, *, max_age: int | None = YEAR_SECONDS) -> None:
    """Set a cookie that scripts cannot read; without `max_age` it lasts as long as the browser runs."""
    response.set_cookie(cookie_name(base_name), value, httponly=True, **_attributes(max_age))


def delete_cookie(response: BaseResponse, name: str) -> None:
    """Delete a cookie, given its whole name; one of an earlier version may have been set for the whole host."""
    for path in dict.fromkeys((cookie_path(), "/")):
        response.delete_cookie(
            name, path=path, secure=current_app.config["SECURE_COOKIES"], httponly=True, samesite="Lax"
        )


def timezone_cookie() -> str:
    """Return the cookie of the time zone as a script sets it, with `%` in place of the name of the time zone."""
    return f"{cookie_name(TIMEZONE)}=%; path={cookie_path()}; max-age={YEAR_SECONDS}; samesite=lax" + (
        "; secure" if current_app.config["SECURE_COOKIES"] else ""
    )


def _attributes(max_age: int | None) -> dict[str, Any]:
    return {
        "max_age": max_age,
        "path": cookie_path(),
        "secure": current_app.config["SECURE_COOKIES"],
        "samesite": "Lax",
    }
