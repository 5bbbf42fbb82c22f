"""Preferences: how the site looks and behaves on one device, kept in cookies.

They apply before a user exists, so they are not in the database.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from urllib.parse import parse_qsl, urlencode

from flask import Flask, g, has_request_context

from chatsite import cookies
from chatsite.settings import LANGUAGES

CHOICES = {
    # The color scheme of the browser, or one of the two.
    "theme": ("auto", "light", "dark"),
    # The effect of Enter in the composer; Ctrl+Enter always sends, and Shift+Enter never does.
    "enter": ("send", "newline"),
    # The announcements of an answer for screen readers: its states and sentences, or only its states.
    "voice": ("sentences", "states"),
    # The list of conversations on wide screens; a button beside it and Ctrl+B change this, no form shows it.
    "sidebar": ("shown", "hidden"),
    # The voices that read answers: those of the device, or also those that get the text from the maker of the browser.
    "read_with": ("local", "any"),
    # Whether speech may be sent to the maker of the browser to become text: it asks, or it may, or there is no button.
    "dictation": ("ask", "on", "off"),
    # Whether the browser notifies of long answers: it is offered once, or it does, or not.
    "notify": ("ask", "on", "off"),
}


@dataclass(frozen=True)
class Preferences:
    """One value of CHOICES for each preference; the first value is the default."""

    theme: str = "auto"
    enter: str = "send"
    voice: str = "sentences"
    sidebar: str = "shown"
    read_with: str = "local"
    dictation: str = "ask"
    notify: str = "ask"

    def with_values(self, values: dict[str, str]) -> Preferences:
        """Return a copy with `values`; unknown preferences and values that are not in CHOICES are ignored."""
        requested = {field.name: values.get(field.name, "") for field in fields(self)}
        return replace(self, **{name: value for name, value in requested.items() if value in CHOICES[name]})

    @property
    def cookie_value(self) -> str:
        """The content of the preferences cookie."""
        return urlencode(asdict(self))


def current_preferences() -> Preferences:
    """Return the preferences of the request, or the defaults outside a request."""
    if not has_request_context():
        return Preferences()
    if "preferences" not in g:
        g.preferences = Preferences().with_values(dict(parse_qsl(cookies.read_cookie(cookies.PREFERENCES))))
    loaded: Preferences = g.preferences
    return loaded


def chosen_language() -> str:
    """Return the code of the chosen language, or an empty string for the language of the browser."""
    chosen = cookies.read_cookie(cookies.LANGUAGE)
    return chosen if chosen in LANGUAGES else ""


def init_app(app: Flask) -> None:
    """Register the template global `preferences`."""
    app.jinja_env.globals["preferences"] = current_preferences
