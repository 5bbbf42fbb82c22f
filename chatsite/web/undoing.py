"""What every change answers: it is done, and here it can be undone."""

from __future__ import annotations

import re
from urllib.parse import urlencode

from flask import Flask, redirect, request
from flask_babel import gettext, ngettext
from werkzeug.wrappers import Response

from chatsite.errors import NotFoundError
from chatsite.models import Conversation, Undo, User
from chatsite.services import conversations, tags, undos
from chatsite.web.access import visitor
from chatsite.web.fragments import fragment
from chatsite.web.htmx import headers, make_response

# Lists that hear of it ask for what they show once more.
LISTED = {"listed": {"target": "body"}}
# What is sent may be no address at all, so it is not taken apart as one.
OPEN = re.compile(r"(?:[a-z]+://[^/?#]*)?/conversations/([\w-]+)/?(?:[?#].*)?", re.DOTALL)


def init_app(app: Flask) -> None:
    """What templates need to offer Undo and to show tags."""
    app.jinja_env.globals.update(undo_offered=offered, said=said, tags_of=tags.of, colors=tags.COLORS)


def user_who_has() -> User:
    """Who asks. Raises NotFoundError for somebody who never wrote: nothing is theirs."""
    user = visitor()
    if user is None:
        raise NotFoundError
    return user


def offered() -> Undo | None:
    """The change that the address of the page under way offers to undo, if it still can be."""
    name = request.args.get("undo")
    return undos.find(visitor(), name) if name else None


def said(undo: Undo) -> str:
    """What was done, as a sentence."""
    count = len(undo.before)
    if count > 1:
        return _said_of_many(undo.verb, count)
    sentences = {
        "rename": gettext("Renamed."),
        "pin": gettext("Pinned."),
        "unpin": gettext("No longer pinned."),
        "archive": gettext("Archived."),
        "unarchive": gettext("Back in the list."),
        "delete": gettext("Deleted."),
        "restore": gettext("Restored."),
        "tag": gettext("Tags changed."),
        "edit_tag": gettext("Tag changed."),
        "delete_tag": gettext("Tag deleted."),
    }
    return str(sentences[undo.verb])


def _said_of_many(verb: str, count: int) -> str:
    sentences = {
        "pin": ngettext("%(num)s conversation pinned.", "%(num)s conversations pinned.", count),
        "unpin": ngettext("%(num)s conversation no longer pinned.", "%(num)s conversations no longer pinned.", count),
        "archive": ngettext("%(num)s conversation archived.", "%(num)s conversations archived.", count),
        "unarchive": ngettext(
            "%(num)s conversation back in the list.", "%(num)s conversations back in the list.", count
        ),
        "delete": ngettext("%(num)s conversation deleted.", "%(num)s conversations deleted.", count),
        "restore": ngettext("%(num)s conversation restored.", "%(num)s conversations restored.", count),
        "tag": ngettext("Tags of %(num)s conversation changed.", "Tags of %(num)s conversations changed.", count),
    }
    return str(sentences[verb])


def changed(undo: Undo, way_back: str) -> Response:
    """The notice of a change, with Undo: in place for htmx, else on the page at `way_back`.

    Who looks at a conversation that is gone by that change is led to `way_back` too.
    """
    address = f"{way_back}{'&' if '?' in way_back else '?'}{urlencode({'undo': undo.public_id})}"
    if not headers().wants_fragment:
        return redirect(address, code=303)
    if open_id() and looked_at() is None:
        return make_response("", redirect=address)
    return told(said(undo), undo)


def told(text: str, undo: Undo | None = None) -> Response:
    """For htmx: a sentence where Undo is offered, what it changed of the page's head, and word to the lists."""
    body = fragment("undos/_changed.html", text=text, undo=undo, conversation=looked_at())
    return make_response(body, trigger=LISTED)


def open_id() -> str | None:
    """The name of the conversation that the browser shows, which htmx tells."""
    found = OPEN.fullmatch(headers().current_url or "")
    return found[1] if found else None


def looked_at() -> Conversation | None:
    """The conversation that the browser shows, if there is one and it is the visitor's."""
    shown = open_id()
    return conversations.find(visitor(), shown) if shown else None
