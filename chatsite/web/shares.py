"""Shares as their owner sees them: make one, update it, say how long it lasts, end it."""

from __future__ import annotations

from flask import Blueprint, Flask, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from chatsite.errors import NotFoundError, sentence
from chatsite.models import Conversation, Message, Share
from chatsite.services import shares
from chatsite.services.paging import Page
from chatsite.web.access import get_conversation, get_message, get_share, visitor
from chatsite.web.fragments import dom_id, fragment, sidebar
from chatsite.web.htmx import headers

bp = Blueprint("shares", __name__)

# The lifetimes of `services.shares`, in words.
LIFETIMES = [
    ("day", sentence("For a day")),
    ("week", sentence("For a week")),
    ("month", sentence("For 30 days")),
    ("never", sentence("Until I end it")),
]


def init_app(app: Flask) -> None:
    """What templates need to show shares."""
    app.jinja_env.globals.update(lifetimes=LIFETIMES, is_over=shares.is_over)


@bp.get("/shares")
def index() -> str:
    """All shares of the visitor, a page at a time."""
    page = _page(None)
    return render_template("shares/index.html", page=page, sidebar=sidebar())


@bp.get("/conversations/<public_id>/shares")
def new(public_id: str) -> str:
    """The form for a new share of a conversation, or of its branch down to the message `?leaf=`; and those it has."""
    conversation = get_conversation(public_id)
    leaf = _leaf(conversation, request.args.get("leaf"))
    values = {"conversation": conversation, "leaf": leaf, "page": _page(conversation)}
    return render_template("shares/new.html", **values, sidebar=sidebar(conversation))


@bp.post("/conversations/<public_id>/shares")
def create(public_id: str) -> Response:
    """Share the conversation."""
    conversation = get_conversation(public_id)
    leaf = _leaf(conversation, request.form.get("leaf"))
    return _to_list(shares.create(conversation, request.form.get("lifetime", ""), leaf))


@bp.get("/shares/<public_id>")
def show(public_id: str) -> Response:
    """The share among those of its conversation."""
    return _to_list(get_share(public_id))


@bp.put("/shares/<public_id>/snapshot")
def renew(public_id: str) -> Response | str:
    """Have the share show the conversation as it is now."""
    return _changed(shares.renew(get_share(public_id)))


@bp.patch("/shares/<public_id>")
def update(public_id: str) -> Response | str:
    """Have the share end at another time."""
    return _changed(shares.extend(get_share(public_id), request.form.get("lifetime", "")))


@bp.delete("/shares/<public_id>")
def destroy(public_id: str) -> Response | str:
    """End the share at once."""
    share = get_share(public_id)
    place, conversation = dom_id(share), share.conversation.public_id
    shares.revoke(share)
    if headers().wants_fragment:
        return fragment("shares/_revoked.html", place=place)
    return redirect(url_for("shares.new", public_id=conversation), code=303)


def _changed(share: Share) -> Response | str:
    if headers().wants_fragment:
        return fragment("shares/_changed.html", share=share)
    return _to_list(share)


def _to_list(share: Share) -> Response:
    address = url_for("shares.new", public_id=share.conversation.public_id, _anchor=dom_id(share))
    return redirect(address, code=303)


def _page(conversation: Conversation | None) -> Page[Share]:
    user = visitor()
    return shares.page(user, request.args.get("before"), conversation) if user else Page([])


def _leaf(conversation: Conversation, public_id: str | None) -> Message | None:
    """The message of this conversation at which the share is to end; None for the end of the branch that is shown."""
    leaf = get_message(public_id) if public_id else None
    if leaf and leaf.conversation_id != conversation.id:
        raise NotFoundError
    return leaf
