"""Tags: the list of them, what each is like, and which ones a conversation has."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, request, url_for
from flask_babel import gettext
from werkzeug.wrappers import Response

from chatsite.services import tags
from chatsite.web.access import get_conversation, visitor, visitor_who_writes
from chatsite.web.fragments import fragment, sidebar
from chatsite.web.htmx import headers
from chatsite.web.undoing import changed, told, user_who_has

bp = Blueprint("tags", __name__)


@bp.get("/tags")
def index() -> str:
    """The visitor's tags, and a form for a new one."""
    user = visitor()
    return render_template("tags/index.html", tags=tags.index(user) if user else [], sidebar=sidebar())


@bp.post("/tags")
def create() -> Response:
    """Make a tag; one that there is already stays as it is."""
    name, color = request.form.get("text", ""), request.form.get("color") or None
    tags.create(visitor_who_writes(), name, color)
    if headers().wants_fragment:
        return told(gettext("Tag made."))
    return redirect(url_for("tags.index"), code=303)


@bp.get("/tags/<public_id>")
def edit(public_id: str) -> str:
    """The form for another name and colour: in place of the tag for htmx, or as a page."""
    tag = tags.get(visitor(), public_id)
    if headers().wants_fragment:
        return fragment("tags/_edit.html", tag=tag)
    return render_template("tags/edit.html", tag=tag, sidebar=sidebar())


@bp.patch("/tags/<public_id>")
def update(public_id: str) -> Response:
    """Give the tag another name and another colour."""
    tag = tags.get(visitor(), public_id)
    undo = tags.edit(tag, request.form.get("text", ""), request.form.get("color", tag.color))
    return changed(undo, url_for("tags.index"))


@bp.delete("/tags/<public_id>")
def destroy(public_id: str) -> Response:
    """Delete the tag; what it marked stays."""
    return changed(tags.destroy(tags.get(visitor(), public_id)), url_for("tags.index"))


@bp.get("/conversations/<public_id>/tags")
def show(public_id: str) -> str:
    """Which tags the conversation has, to be changed: in place of its row for htmx, or as a page."""
    conversation = get_conversation(public_id)
    values = {"conversation": conversation, "tags": tags.index(user_who_has())}
    if headers().wants_fragment:
        return fragment("tags/_chosen.html", **values)
    return render_template("tags/show.html", **values, sidebar=sidebar(conversation))


@bp.put("/conversations/<public_id>/tags")
def choose(public_id: str) -> Response:
    """Give the conversation the tags that are chosen in the form, and the one that was typed."""
    conversation = get_conversation(public_id)
    chosen, typed = request.form.getlist("tag"), request.form.get("text", "")
    undo = tags.choose(user_who_has(), conversation, chosen, typed)
    return changed(undo, url_for("conversations.show", public_id=public_id))
