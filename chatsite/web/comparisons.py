"""Comparing answers: which one to go on with."""

from __future__ import annotations

from flask import Blueprint, Flask, redirect, url_for
from werkzeug.wrappers import Response

from chatsite.services import comparisons
from chatsite.web.access import get_message
from chatsite.web.fragments import fragment
from chatsite.web.htmx import headers

bp = Blueprint("comparisons", __name__)


def init_app(app: Flask) -> None:
    """What templates need to show answers beside each other."""
    app.jinja_env.globals.update(columns=comparisons.columns, writing=comparisons.writing)


@bp.post("/messages/<public_id>/choice")
def create(public_id: str) -> Response | str:
    """Go on with this answer; the others stay as its versions."""
    message = get_message(public_id)
    compared = comparisons.columns(message)
    conversation = comparisons.choose(message)
    if not headers().wants_fragment:
        return redirect(url_for("conversations.show", public_id=conversation.public_id), code=303)
    first = compared[0] if compared else None
    return fragment(
        "messages/_chosen.html",
        conversation=conversation,
        first=first,
        message=get_message(public_id),
        focused=public_id,
    )
