"""Conversations: the front page, the list, one conversation, its title, its end."""

from __future__ import annotations

from datetime import datetime

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from chatsite.models import Conversation, User
from chatsite.services import conversations, messages, receipts
from chatsite.services.paging import Page, parse_cursor
from chatsite.web.access import get_conversation, prepare_first_write, visitor
from chatsite.web.fragments import fragment, sidebar
from chatsite.web.htmx import headers, make_response

bp = Blueprint("conversations", __name__)


@bp.get("/")
def new() -> str:
    """The front page: start by typing."""
    prepare_first_write()
    # A starter is a link with its text, so that it works without JavaScript and can be edited before it is sent.
    typed = request.args.get("text", "")
    return render_template("conversations/new.html", sidebar=sidebar(), typed=typed)


@bp.get("/conversations")
def index() -> Response | str:
    """A page of the list: bare rows for the sidebar, 204 when there are no more; a page of its own without htmx."""
    before = request.args.get("before")
    user = visitor()
    page: Page[Conversation] = conversations.page(user, before) if user else Page([])
    if not headers().wants_fragment:
        return render_template("conversations/index.html", page=page, before=_moment(before), sidebar=sidebar())
    if before and not page.items:
        return make_response("", 204)
    current = request.args.get("current") or _shown_id()
    return fragment("conversations/_rows.html", page=page, before=_moment(before), current=current)


@bp.get("/conversations/<public_id>")
def show(public_id: str) -> Response | str:
    """One conversation: its newest messages, or those before `?before=`; only these for htmx.

    `?after=` is what a tab that was away asks: what became of the last message it knows, and what came after it.
    """
    conversation = get_conversation(public_id)
    before, after = request.args.get("before"), request.args.get("after")
    if after and headers().wants_fragment:
        return _news(conversation, after)
    window = messages.window(conversation, before)
    if before and headers().wants_fragment:
        view = receipts.outlook(conversation)
        return fragment("messages/_earlier.html", conversation=conversation, window=window, view=view)
    values = {"conversation": conversation, "window": window, "before": before}
    return render_template("conversations/show.html", **values, sidebar=sidebar(conversation))


@bp.get("/conversations/<public_id>/row")
def row(public_id: str) -> Response | str:
    """The row in the sidebar, to take its place back from a form that was given up."""
    conversation = get_conversation(public_id)
    if headers().wants_fragment:
        return fragment("conversations/_row.html", conversation=conversation, current=_shown_id(), focus=True)
    return redirect(url_for("conversations.show", public_id=conversation.public_id), code=303)


@bp.get("/conversations/<public_id>/title")
def edit(public_id: str) -> str:
    """The form for another title: in place of the row for htmx, or as a page."""
    conversation = get_conversation(public_id)
    if headers().wants_fragment:
        return fragment("conversations/_edit.html", conversation=conversation)
    return render_template("conversations/edit.html", conversation=conversation, sidebar=sidebar(conversation))


@bp.patch("/conversations/<public_id>/title")
def update(public_id: str) -> Response | str:
    """Give the conversation another title."""
    conversation = conversations.rename(get_conversation(public_id), request.form.get("text", ""))
    if headers().wants_fragment:
        return fragment("conversations/_renamed.html", conversation=conversation, sidebar=sidebar(_shown()))
    return redirect(url_for("conversations.show", public_id=conversation.public_id), code=303)


@bp.get("/conversations/<public_id>/deletion")
def confirm(public_id: str) -> str:
    """Ask whether the conversation is to be deleted: deleting cannot be undone."""
    conversation = get_conversation(public_id)
    if headers().wants_fragment:
        return fragment("conversations/_confirm.html", conversation=conversation)
    return render_template("conversations/confirm.html", conversation=conversation, sidebar=sidebar(conversation))


@bp.delete("/conversations/<public_id>")
def destroy(public_id: str) -> Response | str:
    """Delete the conversation; whoever looks at it is led to the front page."""
    conversation = get_conversation(public_id)
    looking_at_it = _shown_id() == conversation.public_id
    conversations.destroy(conversation)
    if not headers().wants_fragment:
        return redirect(url_for("conversations.new"), code=303)
    if looking_at_it:
        return make_response("", redirect=url_for("conversations.new"))
    return fragment("conversations/_deleted.html", sidebar=sidebar(_shown()))


def _news(conversation: Conversation, after: str) -> str:
    """What changed since the message named `after`; the page already follows the answer named in `?busy=`."""
    known = messages.get(visitor(), after)
    followed = known.active and known.public_id in request.args.getlist("busy")
    return fragment(
        "messages/_news.html",
        conversation=conversation,
        known=None if followed else known,
        messages=messages.since(conversation, after),
    )


def _moment(cursor: str | None) -> datetime | None:
    return parse_cursor(cursor)[0] if cursor else None


def _shown_id() -> str | None:
    """The name of the conversation that the browser shows, which htmx tells."""
    path = (headers().current_url or "").partition("?")[0].rstrip("/")
    return path.rpartition("/conversations/")[2] if "/conversations/" in path else None


def _shown() -> Conversation | None:
    user: User | None = visitor()
    shown = _shown_id()
    if not shown or not user:
        return None
    return conversations.find(user, shown)
