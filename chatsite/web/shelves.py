"""Where a conversation is kept: pinned at the top of the list, or in the archive; and what can be done with its row."""

from __future__ import annotations

from flask import Blueprint, render_template, request, url_for
from werkzeug.wrappers import Response

from chatsite.models import Conversation
from chatsite.services import conversations
from chatsite.services.paging import Page
from chatsite.web.access import get_conversation, visitor
from chatsite.web.fragments import fragment, sidebar
from chatsite.web.htmx import headers
from chatsite.web.undoing import changed, user_who_has

bp = Blueprint("shelves", __name__)


@bp.get("/conversations/<public_id>/actions")
def actions(public_id: str) -> str:
    """What can be done with the conversation: in place of its row for htmx, or as a page."""
    conversation = get_conversation(public_id)
    if headers().wants_fragment:
        return fragment("shelves/_actions.html", conversation=conversation)
    return render_template("shelves/actions.html", conversation=conversation, sidebar=sidebar(conversation))


@bp.get("/archive")
def index() -> str:
    """The archived conversations."""
    user = visitor()
    page: Page[Conversation] = conversations.archived(user, request.args.get("before")) if user else Page([])
    return render_template("shelves/index.html", page=page, sidebar=sidebar())


@bp.post("/conversations/<public_id>/pin")
def pin(public_id: str) -> Response:
    """Keep the conversation at the top of the list."""
    get_conversation(public_id)
    return changed(conversations.pin(user_who_has(), [public_id]), _show(public_id))


@bp.delete("/conversations/<public_id>/pin")
def unpin(public_id: str) -> Response:
    """Let it go its way down the list."""
    get_conversation(public_id)
    return changed(conversations.pin(user_who_has(), [public_id], pinned=False), _show(public_id))


@bp.post("/conversations/<public_id>/archive")
def archive(public_id: str) -> Response:
    """Keep the conversation out of the list."""
    get_conversation(public_id)
    return changed(conversations.archive(user_who_has(), [public_id]), _show(public_id))


@bp.delete("/conversations/<public_id>/archive")
def unarchive(public_id: str) -> Response:
    """Take it back into the list."""
    get_conversation(public_id)
    return changed(conversations.archive(user_who_has(), [public_id], archived=False), _show(public_id))


def _show(public_id: str) -> str:
    return url_for("conversations.show", public_id=public_id)
