"""Conversations: the front page, the list, one conversation, its title, its way into the trash."""

from __future__ import annotations

from functools import partial

from flask import Blueprint, redirect, render_template, request, url_for
from flask_babel import gettext
from werkzeug.wrappers import Response

from chatsite.models import Conversation
from chatsite.services import conversations, messages, receipts, tags, trash, windows
from chatsite.services.paging import Page, parse_cursor
from chatsite.web.access import get_conversation, prepare_first_write, visitor
from chatsite.web.fragments import ROWS_COOKIE, address_of, fragment, rows_open, sidebar
from chatsite.web.htmx import headers, make_response
from chatsite.web.i18n import period
from chatsite.web.reading import place_asked_for, window_asked_for
from chatsite.web.undoing import changed, open_id, user_who_has

bp = Blueprint("conversations", __name__)

# So many rows come at once where the list has a page of its own.
PAGE_ROWS = 100

# The fragment for a page beside those that are there, by what asks for it.
SIDES = {"before": "earlier", "later": "later"}


@bp.get("/")
def new() -> str:
    """The front page: start by typing."""
    prepare_first_write()
    # A starter is a link with its text, so that it works without JavaScript and can be edited before it is sent.
    typed = request.args.get("text", "")
    return render_template("conversations/new.html", sidebar=sidebar(), typed=typed)


@bp.get("/conversations")
def index() -> Response | str:
    """The list: rows for the sidebar, 204 when there are no more; for a page, with boxes to mark many at once.

    `?rows=` is how many rows the sidebar has: so many come back when all are asked for again.
    """
    before, rows = request.args.get("before"), request.args.get("rows", 0, type=int)
    if not headers().wants_fragment:
        return _page(before)
    user = visitor()
    size = conversations.PAGE_SIZE if before else rows_open()
    page: Page[Conversation] = conversations.page(user, before, size) if user else Page([])
    if before and not page.items:
        return make_response("", 204)
    current = request.args.get("current") or open_id()
    rows = (rows if before else 0) + len(page.items)
    html = fragment("conversations/_rows.html", page=page, before=_heading(before), current=current, rows=rows)
    response = make_response(html)
    if before:
        response.set_cookie(ROWS_COOKIE, str(rows), samesite="Lax", httponly=True)
    return response


@bp.get("/conversations/<public_id>")
def show(public_id: str) -> Response | str:
    """One conversation where it is asked for: at its end, at a message (`?at=`), at a day (`?on=`).

    htmx asks for the pages beside those it has (`?before=`, `?later=`), and for what is new in a tab that was away
    (`?after=`): what became of the last message it knows, and what came after it.
    """
    conversation = get_conversation(public_id)
    after = request.args.get("after")
    if after is not None and headers().wants_fragment:
        return _news(conversation, after) if after else make_response("", 204)
    if place := place_asked_for(conversation):
        return redirect(address_of(place), code=303)
    window = window_asked_for(conversation)
    values = {"conversation": conversation, "window": window}
    for side in ("before", "later"):
        if side in request.args and headers().wants_fragment:
            return fragment(f"messages/_{SIDES[side]}.html", **values, view=receipts.outlook(conversation))
    return render_template("conversations/show.html", **values, sidebar=sidebar(conversation))


@bp.get("/conversations/<public_id>/row")
def row(public_id: str) -> Response | str:
    """The row in the sidebar, to take its place back from a form that was given up."""
    conversation = get_conversation(public_id)
    if headers().wants_fragment:
        return fragment("conversations/_row.html", conversation=conversation, current=open_id(), focus=True)
    return redirect(url_for("conversations.show", public_id=conversation.public_id), code=303)


@bp.get("/conversations/<public_id>/title")
def edit(public_id: str) -> str:
    """The form for another title: in place of the row for htmx, or as a page."""
    conversation = get_conversation(public_id)
    if headers().wants_fragment:
        return fragment("conversations/_edit.html", conversation=conversation)
    return render_template("conversations/edit.html", conversation=conversation, sidebar=sidebar(conversation))


@bp.patch("/conversations/<public_id>/title")
def update(public_id: str) -> Response:
    """Give the conversation another title."""
    undo = conversations.rename(get_conversation(public_id), request.form.get("text", ""))
    return changed(undo, url_for("conversations.show", public_id=public_id))


@bp.delete("/conversations/<public_id>")
def destroy(public_id: str) -> Response:
    """Put the conversation into the trash; whoever looks at it is led to the front page."""
    get_conversation(public_id)
    return changed(trash.throw(user_who_has(), [public_id]), url_for("conversations.new"))


def _news(conversation: Conversation, after: str) -> str:
    """What changed since the message named `after`; the page already follows the answer named in `?busy=`."""
    known = messages.get(visitor(), after)
    followed = known.active and known.public_id in request.args.getlist("busy")
    return fragment(
        "messages/_news.html",
        conversation=conversation,
        known=None if followed else known,
        messages=windows.since(conversation, after),
    )


def _page(before: str | None) -> str:
    """The list as a page, of one tag where `?tag=` names one."""
    user, named = visitor(), request.args.get("tag")
    tag = tags.get(user, named) if named else None
    page: Page[Conversation] = Page([])
    if user:
        read = partial(conversations.tagged, user, tag) if tag else partial(conversations.page, user)
        page = read(before, size=PAGE_ROWS)
    known = tags.index(user) if user else []
    return render_template("conversations/index.html", page=page, tag=tag, tags=known, sidebar=sidebar())


def _heading(cursor: str | None) -> str:
    """The heading that the rows before a page stand under."""
    if not cursor:
        return ""
    return gettext("Pinned") if cursor.startswith(conversations.PINNED) else period(parse_cursor(cursor)[0])
