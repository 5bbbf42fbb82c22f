"""Pages and fragments: the same template file serves a page, the answer to a post, and a stream."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import Any

from flask import Flask, redirect, render_template, request, url_for
from jinja2 import StrictUndefined
from jinja2.ext import Extension
from jinja2.runtime import Macro
from werkzeug.wrappers import Response

from chatsite.models import Conversation, Message, Persona, Share
from chatsite.services import conversations
from chatsite.services.models import Card
from chatsite.services.paging import Page
from chatsite.web import answers
from chatsite.web.access import get_message, visitor
from chatsite.web.htmx import headers

# So many rows of the list come at once where it is asked for again.
MOST_ROWS = 300
# How many rows were opened in this browser is remembered until it is closed, and a page begins with so many: the list
# can only keep its place where the rows above that place are there.
ROWS_COOKIE = "chatsite_rows"
MOST_AT_FIRST = 120


class Outdented(Extension):
    """Leaves out what the lines of a template are indented by: it is for us, and a fifth of what a page weighs.

    What templates are given is not touched, so texts and code keep their blanks.
    """

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        """The source without blanks at the beginning of its lines; each line keeps its number."""
        return re.sub(r"\n[ \t]+", "\n", source)


def init_app(app: Flask) -> None:
    """What templates need to render our nouns."""
    answers.init_app(app)
    app.jinja_env.globals.update(dom_id=dom_id, address_of=address_of, client_token=lambda: secrets.token_urlsafe(16))
    # A name that nobody gave is a mistake, and a page with a hole in it would hide the mistake.
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.add_extension(Outdented)
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True


def share_macros(app: Flask) -> None:
    """Give every template the macros of `macros/look.html`, once all that they use is there.

    A template that imports them makes them anew each time it is included, which took a sixth of a page's time.
    """
    look = app.jinja_env.get_template("macros/look.html").module
    app.jinja_env.globals.update({name: macro for name, macro in vars(look).items() if isinstance(macro, Macro)})


def dom_id(thing: Message | Conversation | Persona | Share | Card, part: str = "") -> str:
    """The id of an element: the only author of ids, in templates and in tests."""
    if isinstance(thing, Card):
        # A name of a model may hold dots and slashes, which mean something in a selector.
        kind, name = "model", re.sub(r"[^a-z0-9-]", lambda found: f"_{ord(found[0]):x}_", thing.name)
    else:
        kind, name = type(thing).__name__.lower(), thing.public_id
    return "-".join(filter(None, [kind, name, part]))


def address_of(message: Message) -> str:
    """Where a message is read: its conversation, on its branch, scrolled to it."""
    name = message.conversation.public_id
    return url_for("conversations.show", public_id=name, at=message.public_id, _anchor=dom_id(message))


@dataclass(frozen=True)
class Sidebar:
    """The first page of the visitor's conversations, and which of them is open."""

    page: Page[Conversation]
    current: str | None


def sidebar(current: Conversation | None = None) -> Sidebar:
    """The sidebar with `current` open; empty for somebody who never wrote."""
    user = visitor()
    page: Page[Conversation] = conversations.page(user, size=rows_open()) if user else Page([])
    return Sidebar(page, current.public_id if current else None)


def rows_open() -> int:
    """How many rows the list is to have: as many as the browser says that it has (`rows`), at least one page."""
    # A file that is being sent here is not to be read for this.
    told = request.form if request.mimetype == "application/x-www-form-urlencoded" else request.args
    before = min(request.cookies.get(ROWS_COOKIE, 0, type=int), MOST_AT_FIRST)
    return max(conversations.PAGE_SIZE, min(told.get("rows", before, type=int), MOST_ROWS))


def fragment(template: str, **values: Any) -> str:
    """One root element and what is in it."""
    return render_template(template, **values)


def settled(public_id: str, followed: bool = False) -> Response | str:
    """The message as it stands now, to take its own place; without htmx, the way back to its conversation.

    A page that `followed` the message gets what is still being written from its stream, and from nowhere else.
    Raises NotFoundError.
    """
    message = get_message(public_id)
    conversation = message.conversation
    if headers().wants_fragment:
        return fragment("messages/_settled.html", message=message, growing=followed and message.active)
    at_end = message.id == conversation.leaf_id
    end = url_for("conversations.show", public_id=conversation.public_id)
    return redirect(end if at_end else address_of(message), code=303)
