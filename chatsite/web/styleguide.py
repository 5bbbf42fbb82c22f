"""The guide to how the site looks: every token and every component, by the very templates that pages are made of.

It is there while the site is developed, or where the setting STYLEGUIDE asks for it. Its own prose is English only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from flask import Blueprint, Flask, Response, current_app, render_template
from markupsafe import Markup

from chatsite.config import ROOT
from chatsite.errors import NotFoundError
from chatsite.models import Conversation, Message
from chatsite.services import conversations, models, tags, windows
from chatsite.web import tokens
from chatsite.web.access import known_models, visitor
from chatsite.web.fragments import sidebar

bp = Blueprint("styleguide", __name__)

# What `chatsite demo --states` marks its conversations with.
STATES = "states"
ICON = re.compile(r'<symbol id="([a-z-]+)"')
# A specimen does nothing: it asks for nothing, sends nothing and takes no focus.
FORM = re.compile(r"<(/?)form\b")
REGION = re.compile(r'(<(?:section|nav|aside|pre)\b[^>]*\saria-label=")([^"]+)"')
ACTING = re.compile(r'\s(?:hx-[\w:-]+|action|formaction|method|autofocus)(?:="[^"]*"|=\'[^\']*\')?(?=[\s>])')
NAMES = re.compile(r'\s(id|for|aria-labelledby|aria-describedby|aria-controls|popovertarget|form|list|name)="([^"]+)"')


@dataclass(frozen=True)
class State:
    """A conversation that is held in a state, and its last question and answer."""

    conversation: Conversation
    messages: Sequence[Message]


def init_app(app: Flask) -> None:
    """What the guide's templates need."""
    app.jinja_env.filters["specimen"] = specimen


@bp.get("/styleguide")
def show() -> str:
    """The whole guide. Raises NotFoundError where it is not wanted."""
    _require()
    return render_template(
        "styleguide/show.html",
        sidebar=sidebar(),
        colours=tokens.palette(),
        measures=tokens.measures(),
        icons=ICON.findall((ROOT / "static" / "icons" / "icons.svg").read_text(encoding="utf-8")),
        states=_states(),
        cards=models.cards(known_models()),
    )


@bp.get("/styleguide.css")
def style() -> Response:
    """A class for every token. Raises NotFoundError where the guide is not wanted."""
    _require()
    return Response(tokens.style(), mimetype="text/css")


def specimen(html: str, name: str) -> Markup:
    """Some markup as it can stand on one page beside the same markup: nothing acts, and every name is its own."""
    # Markup would take what is put into it for text, and escape it.
    still = ACTING.sub("", FORM.sub(r"<\1div", str(html)))
    apart = REGION.sub(lambda found: f'{found[1]}{found[2]}, {name}"', still)
    own = NAMES.sub(lambda found: f' {found[1]}="{" ".join(f"{each}-{name}" for each in found[2].split())}"', apart)
    return Markup(own)  # noqa: S704 It is what our own templates made.


def _require() -> None:
    if not (current_app.debug or current_app.config["STYLEGUIDE"]):
        raise NotFoundError


def _states() -> list[State]:
    """The visitor's conversations that show states; none without the demo."""
    user = visitor()
    tag = next((each for each in tags.index(user) if each.name == STATES), None) if user else None
    if user is None or tag is None:
        return []
    found = conversations.tagged(user, tag).items
    return [State(each, windows.until(each, size=2).messages) for each in found]
