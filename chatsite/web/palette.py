"""The palette: conversations, deeds and models, found by a few letters, and one key away from every page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from flask import Blueprint, Flask, redirect, render_template, request, url_for
from flask_babel import get_timezone, gettext
from werkzeug.wrappers import Response

from chatsite.models import Conversation
from chatsite.services import conversations, models, search
from chatsite.services.search import Found
from chatsite.services.search_query import QUERY_CHARS
from chatsite.services.texts import fold
from chatsite.web.access import known_models, visitor
from chatsite.web.deeds import Line, deeds
from chatsite.web.fragments import Sidebar, fragment, sidebar
from chatsite.web.htmx import headers
from chatsite.web.undoing import open_id

bp = Blueprint("palette", __name__)

RECENT = 6
MESSAGES = 5
MODELS = 4


@dataclass(frozen=True)
class Group:
    """Lines under a heading."""

    name: str
    lines: Sequence[Line]


def init_app(app: Flask) -> None:
    """Let pages show what is there before anything is asked for."""
    app.jinja_env.globals["palette_begins"] = begins


@bp.get("/palette")
def show() -> Response | str:
    """What fits `?q=`; without words what was used last, and all that can be done.

    htmx gets the lines. The form, sent as a form, leads to the first of them (`?go=1`), if that is a place.
    """
    typed, here = request.args.get("q", "")[:QUERY_CHARS], _here()
    groups = list(_groups(typed, conversations.find(visitor(), here) if here else None))
    if headers().wants_fragment:
        return fragment("palette/_found.html", groups=groups, typed=typed)
    first = next((line for group in groups for line in group.lines), None)
    if "go" in request.args and first and first.sends is None:
        return redirect(first.address, code=303)
    return render_template("palette/show.html", groups=groups, typed=typed, sidebar=sidebar())


def begins(listed: Sidebar) -> list[Group]:
    """What the palette shows until the site has answered: of the page's list those that were used last."""
    last = sorted(listed.page.items, key=lambda each: each.updated_at, reverse=True)
    return list(_recent([each for each in last if each.public_id != listed.current][:RECENT]))


def _here() -> str | None:
    """The conversation that the palette was opened over: by htmx, or by the form's own word."""
    return open_id() or request.args.get("conversation")


def _groups(typed: str, here: Conversation | None) -> Iterator[Group]:
    """All that is shown, in order; what is empty is left out."""
    words = fold(typed).split()
    user = visitor()
    if not words:
        last = conversations.recent(user, RECENT + 1) if user else []
        yield from _recent([each for each in last if each is not here][:RECENT])
        yield from _group(gettext("Actions"), deeds(here, _way_back()))
        return
    found = search.find(user, typed, zone=get_timezone(), size=MESSAGES)
    yield from _group(gettext("Conversations"), [_talk(each) for each in found.titles])
    yield from _group(gettext("Actions"), [line for line in deeds(here, _way_back()) if line.fits(words)])
    yield from _group(gettext("Models"), [line for line in _models() if line.fits(words)][: 2 * MODELS])
    yield from _group(gettext("Messages"), list(_messages(found)))


def _group(name: str, lines: Sequence[Line]) -> Iterator[Group]:
    if lines:
        yield Group(name, lines)


def _recent(last: Sequence[Conversation]) -> Iterator[Group]:
    return _group(gettext("Last used"), [_talk(each) for each in last])


def _talk(conversation: Conversation) -> Line:
    address = url_for("conversations.show", public_id=conversation.public_id)
    return Line(conversation.title, address, "talk", when=conversation.updated_at)


def _messages(found: Found) -> Iterator[Line]:
    """Messages with the words in them, and the way to all the others."""
    for message in found.messages:
        address = url_for("messages.show", public_id=message.public_id)
        title, when = message.conversation.title, message.created_at
        yield Line(title, address, "search", when=when, text=message.text, query=found.query)


def _models() -> Iterator[Line]:
    """For each model that can answer a new conversation with it, and what there is to know of it."""
    for card in models.choices(known_models()):
        title = card.entry.title
        begin = url_for("conversations.new", model=card.name)
        yield Line(gettext("Ask %(model)s", model=title), begin, "new", words=card.name)
        about = url_for("models.show", name=card.name)
        yield Line(gettext("About %(model)s", model=title), about, "models", words=card.name)


def _way_back() -> str:
    """The page that the palette was opened over, as an address on this site."""
    shown = urlsplit(headers().current_url or "")
    return f"{shown.path}?{shown.query}" if shown.query else shown.path
