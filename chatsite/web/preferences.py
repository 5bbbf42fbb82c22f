"""How somebody likes the site on this device, kept in cookies: it holds before anything else is known of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from urllib.parse import parse_qsl, urlencode

from flask import Blueprint, Flask, abort, g, has_request_context, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from chatsite.web.fragments import fragment, sidebar
from chatsite.web.htmx import headers, make_response
from chatsite.web.i18n import LANGUAGE_COOKIE, LANGUAGES
from chatsite.web.security import local_path

bp = Blueprint("preferences", __name__)

COOKIE = "chatsite_preferences"
YEAR = 365 * 24 * 3600
CHOICES = {
    # The browser's colour scheme, or one of the two.
    "theme": ("auto", "light", "dark"),
    # What Enter does in the composer; Ctrl+Enter always sends, and Shift+Enter never does.
    "enter": ("send", "newline"),
    # What a screen reader is told of an answer: its states and sentences, or its states alone.
    "voice": ("sentences", "states"),
    # Whether keys that write something are shortcuts where nothing is written.
    "keys": ("on", "off"),
}


@dataclass(frozen=True)
class Preferences:
    """One value of CHOICES each; the first of them is the usual one."""

    theme: str = "auto"
    enter: str = "send"
    voice: str = "sentences"
    keys: str = "on"

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


def language() -> str:
    """The language that was chosen; empty for the browser's."""
    chosen = request.cookies.get(LANGUAGE_COOKIE, "")
    return chosen if chosen in LANGUAGES else ""


def init_app(app: Flask) -> None:
    """Let templates ask for them."""
    app.jinja_env.globals["preferences"] = preferences


@bp.get("/preferences")
def show() -> str:
    """What can be chosen and what is. `?language` is there after another language was chosen: the focus is on it."""
    return render_template("preferences/show.html", sidebar=sidebar(), language=language())


@bp.post("/preferences")
def create() -> Response:
    """Keep what was chosen. htmx needs the page anew when that is another language, and else only word of it.

    A form may name the page to come back to (`next`).
    """
    if not _can_be_chosen(request.form):
        abort(422)
    chosen = preferences().changed(request.form)
    spoken = request.form.get("language", language())
    back = request.form.get("next")
    address = local_path(back) if back else url_for("preferences.show", language=spoken)
    if not headers().wants_fragment:
        response: Response = redirect(address, code=303)
    elif spoken != language():
        response = make_response("", redirect=address)
    else:
        response = make_response(fragment("preferences/_kept.html"))
    response.set_cookie(COOKIE, chosen.cookie, max_age=YEAR, samesite="Lax", httponly=True)
    _speak(response, spoken)
    return response


def _can_be_chosen(values: Mapping[str, str]) -> bool:
    """Whether a form names only what there is; no language is the browser's."""
    choices = {**CHOICES, "language": ("", *LANGUAGES)}
    return all(values[name] in known for name, known in choices.items() if name in values)


def _speak(response: Response, spoken: str) -> None:
    """Have the site speak the language from now on, or the browser's if it is none of ours."""
    if spoken in LANGUAGES:
        response.set_cookie(LANGUAGE_COOKIE, spoken, max_age=YEAR, samesite="Lax", httponly=True)
    else:
        response.delete_cookie(LANGUAGE_COOKIE)
