"""Comparisons: select the answer with which a conversation continues."""

from __future__ import annotations

from flask import Blueprint, redirect, url_for
from werkzeug.wrappers import Response

from chatsite.services.chat import comparisons
from chatsite.web.chat.conversation_views import build_picked_update
from chatsite.web.core.htmx import htmx_headers
from chatsite.web.core.identity import get_message
from chatsite.web.core.templating import render_fragment

bp = Blueprint("comparisons", __name__)


@bp.post("/messages/<public_id>/selection")
def create(public_id: str) -> Response | str:
    """Select this answer of a comparison; the other answers stay as its versions.

    Raises NotFoundError for a question, and ConversationNotFoundError.
    """
    message = get_message(public_id)
    compared_answers = comparisons.list_compared(message)
    conversation = comparisons.pick_winner(message)
    if not htmx_headers().wants_fragment:
        return redirect(url_for("conversations.show", public_id=conversation.public_id), code=303)
    return render_fragment(
        "messages/comparison_picked.partials.html",
        view=build_picked_update(
            conversation, compared_answers[0] if compared_answers else None, get_message(public_id)
        ),
    )
