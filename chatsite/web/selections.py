"""Many conversations at once: what is marked in the list is pinned, archived, tagged or deleted with one button."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flask import Blueprint, abort, request, url_for
from werkzeug.wrappers import Response

from chatsite.models import Undo, User
from chatsite.services import conversations, tags, trash
from chatsite.web.undoing import changed, user_who_has

bp = Blueprint("selections", __name__)

ACTS: dict[str, Callable[[User, Sequence[str]], Undo]] = {
    "pin": conversations.pin,
    "unpin": lambda user, names: conversations.pin(user, names, pinned=False),
    "archive": conversations.archive,
    "delete": trash.throw,
    "tag": lambda user, names: tags.mark_as(user, names, request.form.get("text", "")),
    "untag": lambda user, names: tags.mark_as(user, names, request.form.get("text", ""), marked=False),
}


@bp.post("/selections")
def create() -> Response:
    """Do to all that are marked what the button says."""
    act = ACTS.get(request.form.get("act", ""))
    if act is None:
        abort(422)
    undo = act(user_who_has(), request.form.getlist("chosen"))
    return changed(undo, url_for("conversations.index", tag=request.form.get("filter") or None))
