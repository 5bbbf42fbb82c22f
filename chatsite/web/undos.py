"""Undo: put back what a change took away."""

from __future__ import annotations

from flask import Blueprint, redirect, request
from flask_babel import gettext
from werkzeug.wrappers import Response

from chatsite.services import undos
from chatsite.web.access import visitor
from chatsite.web.htmx import headers
from chatsite.web.security import local_path
from chatsite.web.undoing import told

bp = Blueprint("undos", __name__)


@bp.post("/undos/<public_id>")
def create(public_id: str) -> Response:
    """Undo a change of the visitor's; without htmx, the page it was offered on. Raises UndoGoneError."""
    undos.undo(visitor(), public_id)
    if headers().wants_fragment:
        return told(gettext("Undone."))
    return redirect(local_path(request.form.get("next")), code=303)
