"""Temporary chats: extend their lifetime, make them permanent, close them."""

from __future__ import annotations

from flask import Blueprint, redirect, url_for
from werkzeug.wrappers import Response

from chatsite.errors import ConversationNotFoundError
from chatsite.services.chat import temporary
from chatsite.web.core.htmx import htmx_headers, htmx_response
from chatsite.web.core.identity import get_conversation
from chatsite.web.core.templating import render_fragment

bp = Blueprint("temporary", __name__)


@bp.put("/conversations/<public_id>/presence")
def mark_present(public_id: str) -> Response:
    """Extend the lifetime of a temporary chat while its page is open.

    Raises ConversationNotFoundError once the chat has expired; htmx gets a notice that ends the polling instead.
    """
    try:
        temporary.extend_lifetime(get_conversation(public_id))
    except ConversationNotFoundError:
        if not htmx_headers().wants_fragment:
            raise
        return htmx_response(render_fragment("temporary/expired.partials.html"), 404)
    return htmx_response("", 204)


@bp.delete("/conversations/<public_id>/presence")
def mark_left(public_id: str) -> Response:
    """Let a temporary chat expire soon, because its page was closed. Raises ConversationNotFoundError."""
    temporary.expire_soon(get_conversation(public_id))
    return htmx_response("", 204)


@bp.delete("/conversations/<public_id>/expiry")
def keep(public_id: str) -> Response:
    """Make a temporary chat permanent, and redirect to it. Raises ConversationNotFoundError."""
    temporary.make_permanent(get_conversation(public_id))
    return redirect(url_for("conversations.show", public_id=public_id), code=303)


@bp.post("/conversations/<public_id>/closure")
def close(public_id: str) -> Response:
    """Delete a temporary chat now, and redirect to a new one. Raises ConversationNotFoundError, NotTemporaryError."""
    temporary.delete_now(get_conversation(public_id))
    return redirect(url_for("conversations.new", temporary=1), code=303)
