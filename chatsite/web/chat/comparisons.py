"""Comparisons: select the answer with which a conversation continues, or ask all models once more."""

from __future__ import annotations

from flask import Blueprint, redirect, url_for
from werkzeug.wrappers import Response

from chatsite.errors import CannotRerunError
from chatsite.services.chat import comparisons, messages
from chatsite.services.models import choice
from chatsite.web.chat.comparison_updates import build_compared_update, build_picked_update
from chatsite.web.core.htmx import htmx_headers
from chatsite.web.core.identity import catalog_config, current_limits, get_message, require_user
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


@bp.post("/messages/<public_id>/comparison")
def regenerate(public_id: str) -> Response | str:
    """Ask all models of a comparison once more; the answers so far stay as versions.

    Raises NotFoundError, CannotRerunError if there is no comparison any more, AnswerRunningError, QueueFullError,
    UserQueueFullError, NetworkQueueFullError, ModelNotAvailableError, InvalidPresetError.
    """
    message = get_message(public_id)
    compared_answers = comparisons.list_compared(message)
    if not compared_answers:
        raise CannotRerunError
    choices = [choice.get_for_regeneration(catalog_config(), each) for each in compared_answers]
    first = messages.regenerate_comparison(require_user(), message, choices, limits=current_limits())
    if not htmx_headers().wants_fragment:
        return redirect(url_for("conversations.show", public_id=message.conversation.public_id), code=303)
    view = build_compared_update(compared_answers[0], get_message(first.public_id))
    return render_fragment("messages/comparison.partials.html", view=view)
