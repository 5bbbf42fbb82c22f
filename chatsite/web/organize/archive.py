"""Pins and the archive: the place of a conversation in the lists, and the menu of its row."""

from __future__ import annotations

from flask import Blueprint, render_template, request, url_for
from werkzeug.wrappers import Response

from chatsite.models import Conversation
from chatsite.services.chat import conversations
from chatsite.services.pagination import Page
from chatsite.web.core.htmx import htmx_headers
from chatsite.web.core.identity import current_user, get_conversation, require_user
from chatsite.web.core.page_view import PageView
from chatsite.web.core.undo_responses import undo_response
from chatsite.web.organize.views import ArchivePage, RowMenuView

bp = Blueprint("archive", __name__)


@bp.get("/conversations/<public_id>/actions")
def row_menu(public_id: str) -> str:
    """Show the actions for a conversation: in place of its row for htmx, or as a page.

    Raises ConversationNotFoundError.
    """
    conversation = get_conversation(public_id)
    if htmx_headers().wants_fragment:
        return render_template("archive/_row_menu.html", view=RowMenuView(conversation))
    view = PageView(conversation=conversation)
    return render_template("archive/row_menu.html", view=view)


@bp.get("/archive")
def index() -> str:
    """List the archived conversations. Raises NotFoundError for a malformed cursor `?before=`."""
    user = current_user()
    page: Page[Conversation] = conversations.list_archived(user, request.args.get("before"))
    return render_template("archive/index.html", view=ArchivePage(page=page))


@bp.post("/conversations/<public_id>/pin")
def pin(public_id: str) -> Response:
    """Pin a conversation to the top of the sidebar. Raises ConversationNotFoundError."""
    get_conversation(public_id)
    return undo_response(conversations.set_pinned(require_user(), [public_id]), _conversation_url(public_id))


@bp.delete("/conversations/<public_id>/pin")
def unpin(public_id: str) -> Response:
    """Unpin a conversation. Raises ConversationNotFoundError."""
    get_conversation(public_id)
    return undo_response(
        conversations.set_pinned(require_user(), [public_id], pinned=False), _conversation_url(public_id)
    )


@bp.post("/conversations/<public_id>/archive")
def archive(public_id: str) -> Response:
    """Archive a conversation. Raises ConversationNotFoundError."""
    get_conversation(public_id)
    return undo_response(conversations.set_archived(require_user(), [public_id]), _conversation_url(public_id))


@bp.delete("/conversations/<public_id>/archive")
def unarchive(public_id: str) -> Response:
    """Return a conversation from the archive to the sidebar. Raises ConversationNotFoundError."""
    get_conversation(public_id)
    return undo_response(
        conversations.set_archived(require_user(), [public_id], archived=False), _conversation_url(public_id)
    )


def _conversation_url(public_id: str) -> str:
    return url_for("conversations.show", public_id=public_id)
