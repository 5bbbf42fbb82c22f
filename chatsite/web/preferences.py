"""How somebody likes the site on this device, kept in a cookie: it holds before anything else is known of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from urllib.parse import parse_qsl, urlencode

from flask import Blueprint, Flask, g, has_request_context, request

bp = Blueprint("preferences", __name__)

COOKIE = "chatsite_preferences"
CHOICES = {
    # The browser's colour scheme, or one of the two.
    "theme": ("auto", "light", "dark"),
    # What Enter does in the composer; Shift+Enter does the other.
    "enter": ("send", "newline"),
    # What a screen reader is told of an answer: its states and sentences, or its states alone.
    "voice": ("sentences", "states"),
}


@dataclass(frozen=True)
class Preferences:
    """One value of CHOICES each; the first of them is the usual one."""

    theme: str = "auto"
    enter: str = "send"
    voice: str = "sentences"

    def changed(self, values: dict[str, str]) -> Preferences:
        """The same with those of `values` that can be chosen."""
        chosen = {field.name: values.get(field.name, "") for field in fields(self)}
        return replace(self, **{name: value for name, value in chosen.items() if value in CHOICES[name]})

    @property
    def cookie(self) -> str:
        """What the cookie holds."""
        return urlencode(asdict(self))


def preferences() -> Preferences:
    """The preferences of whoever asks; the usual ones outside a request."""
    if not has_request_context():
        return Preferences()
    if "preferences" not in g:
        g.preferences = Preferences().changed(dict(parse_qsl(request.cookies.get(COOKIE, ""))))
    found: Preferences = g.preferences
    return found


def init_app(app: Flask) -> None:
    """Let templates ask for them."""
    app.jinja_env.globals["preferences"] = preferences
