"""Temporary conversations: whether somebody looks at them, keeping them after all, closing them."""

from __future__ import annotations

from flask import Blueprint, redirect, url_for
from werkzeug.wrappers import Response

from chatsite.errors import ConversationGoneError
from chatsite.services import temporary
from chatsite.web.access import get_conversation
from chatsite.web.fragments import fragment
from chatsite.web.htmx import headers, make_response

bp = Blueprint("temporary", __name__)


@bp.put("/conversations/<public_id>/presence")
def arrive(public_id: str) -> Response:
    """The page is open; one whose conversation is over is told so, and asks no more."""
    try:
        temporary.stay(get_conversation(public_id))
    except ConversationGoneError:
        if not headers().wants_fragment:
            raise
        return make_response(fragment("temporary/_over.html"), 404)
    return make_response("", 204)


@bp.delete("/conversations/<public_id>/presence")
def leave(public_id: str) -> Response:
    """The page was left."""
    temporary.leave(get_conversation(public_id))
    return make_response("", 204)


@bp.delete("/conversations/<public_id>/expiry")
def keep(public_id: str) -> Response:
    """Make it an ordinary conversation."""
    temporary.keep(get_conversation(public_id))
    return redirect(url_for("conversations.show", public_id=public_id), code=303)


@bp.post("/conversations/<public_id>/expiry")
def close(public_id: str) -> Response:
    """Its time is over now."""
    temporary.close(get_conversation(public_id))
    return redirect(url_for("conversations.new", temporary=1), code=303)
