"""Bulk actions: pin, archive, tag or delete all selected conversations."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flask import Blueprint, abort, request, url_for
from werkzeug.wrappers import Response

from chatsite.models import Undo, User
from chatsite.services.chat import conversations
from chatsite.services.organize import tags, trash
from chatsite.web.core.identity import require_user
from chatsite.web.core.undo_responses import undo_response

bp = Blueprint("bulk_actions", __name__)

ACTIONS: dict[str, Callable[[User, Sequence[str]], Undo]] = {
    "pin": conversations.set_pinned,
    "unpin": lambda user, names: conversations.set_pinned(user, names, pinned=False),
    "archive": conversations.set_archived,
    "delete": trash.move_to_trash,
    "tag": lambda user, names: tags.set_tag_by_name(user, names, request.form.get("text", "")),
    "untag": lambda user, names: tags.set_tag_by_name(user, names, request.form.get("text", ""), is_tagged=False),
}


@bp.post("/conversations/bulk-actions")
def create() -> Response:
    """Do the action in the form field `operation` to the selected conversations.

    An unknown action gives status 422. Raises NotFoundError for an anonymous user, NothingSelectedError,
    TooManySelectedError, ConversationNotFoundError, EmptyTagError, TagTooLongError, TooManyTagsError.
    """
    action = ACTIONS.get(request.form.get("operation", ""))
    if action is None:
        abort(422)
    undo = action(require_user(), request.form.getlist("ids"))
    return undo_response(undo, url_for("conversations.index", tag=request.form.get("filter") or None))
