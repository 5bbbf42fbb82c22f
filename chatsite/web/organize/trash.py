"""The trash: list deleted conversations, restore them, or delete them for good."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, request, url_for
from flask_babel import gettext
from werkzeug.wrappers import Response

from chatsite.database import utcnow
from chatsite.models import Conversation
from chatsite.services.organize import trash
from chatsite.services.pagination import Page
from chatsite.web.core.htmx import htmx_headers
from chatsite.web.core.identity import current_user, require_user
from chatsite.web.core.undo_responses import toast_response, undo_response
from chatsite.web.organize.views import TrashPage

bp = Blueprint("trash", __name__)


@bp.get("/trash")
def index() -> str:
    """List the conversations in the trash, with the days until they are purged. Raises NotFoundError."""
    user = current_user()
    page: Page[Conversation] = trash.list_page(user, request.args.get("before"))
    days = {row.id: (trash.purge_at(row) - utcnow()).days + 1 for row in page.items}
    view = TrashPage(page=page, days_left=days, retention_days=trash.RETENTION.days)
    return render_template("trash/index.html", view=view)


@bp.patch("/trash/<public_id>")
def restore(public_id: str) -> Response:
    """Restore a conversation to its former place. Raises NotFoundError, ConversationNotFoundError."""
    undo = trash.restore(require_user(), [public_id])
    return undo_response(undo, url_for("trash.index"))


@bp.delete("/trash/<public_id>")
def destroy(public_id: str) -> Response:
    """Delete a conversation in the trash for good. Raises NotFoundError, ConversationNotFoundError."""
    trash.delete_forever(require_user(), [public_id])
    return _deleted_response()


@bp.delete("/trash")
def empty() -> Response:
    """Delete everything in the trash for good. Raises NotFoundError for an anonymous user."""
    trash.empty(require_user())
    return _deleted_response()


def _deleted_response() -> Response:
    if htmx_headers().wants_fragment:
        return toast_response(gettext("Deleted permanently."), has_focus=True)
    return redirect(url_for("trash.index"), code=303)
