"""Undo: restore the values before a change."""

from __future__ import annotations

from flask import Blueprint, redirect, request
from flask_babel import gettext
from werkzeug.wrappers import Response

from chatsite.services import undo
from chatsite.web.core.htmx import htmx_headers
from chatsite.web.core.identity import current_user
from chatsite.web.core.open_conversation import open_page
from chatsite.web.core.security import safe_redirect_path
from chatsite.web.core.undo_responses import toast_response

bp = Blueprint("undo", __name__)

DELETIONS = {"delete", "delete_tag", "delete_persona"}


@bp.post("/undos/<public_id>")
def create(public_id: str) -> Response:
    """Undo a change of the user; without htmx, redirect to the page in the form field `next`.

    Raises NotFoundError, UndoExpiredError.
    """
    change = undo.undo_change(current_user(), public_id)
    if htmx_headers().wants_fragment:
        # The page that a change led to offers its Undo; the one before is where it was made.
        said = gettext("Restored.") if change.action in DELETIONS else gettext("Change undone.")
        return toast_response(said, goes_back=f"undo={public_id}" in open_page(), has_focus=True)
    return redirect(safe_redirect_path(request.form.get("next")), code=303)
