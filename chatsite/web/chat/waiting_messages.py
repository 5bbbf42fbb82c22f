"""Waiting messages: send one at once, take it back into the composer, or remove it."""

from __future__ import annotations

from flask import Blueprint, redirect, request, url_for
from flask_babel import gettext
from werkzeug.wrappers import Response

from chatsite.services.chat import messages, waiting_messages
from chatsite.web.chat.waiting_views import WaitingUpdate, WaitingView, build_waiting
from chatsite.web.core.htmx import htmx_headers
from chatsite.web.core.identity import current_limits, get_conversation
from chatsite.web.core.templating import render_fragment

bp = Blueprint("waiting_messages", __name__)


@bp.post("/conversations/<public_id>/waiting-message")
def create(public_id: str) -> Response | str:
    """Stop the answer in progress, and post the waiting message as soon as it has ended.

    Does nothing if none waits: it was posted meanwhile. Raises ConversationNotFoundError, ConversationFullError,
    QueueFullError, UserQueueFullError.
    """
    waiting_messages.send_now(get_conversation(public_id), current_limits())
    return _respond(public_id, gettext("Sending your message."))


@bp.delete("/conversations/<public_id>/waiting-message")
def destroy(public_id: str) -> Response | str:
    """Remove the waiting message, or put it back before the draft (`to=draft`).

    Does nothing if none waits: it was posted meanwhile. Raises ConversationNotFoundError, DraftTooLongError.
    """
    conversation = get_conversation(public_id)
    if request.form.get("to") == "draft":
        text = waiting_messages.move_to_draft(conversation, current_limits().max_message_chars)
        return _respond(public_id, gettext("Your message is in the box again."), text)
    waiting_messages.remove(conversation)
    return _respond(public_id, gettext("Message removed."))


def _respond(public_id: str, announcement: str, returned_text: str = "") -> Response | str:
    if not htmx_headers().wants_fragment:
        return redirect(url_for("conversations.show", public_id=public_id), code=303)
    conversation = get_conversation(public_id)
    waiting = waiting_messages.find(conversation.id)
    last_message = messages.get_by_id(waiting.parent_id) if waiting else None
    view = build_waiting(conversation, last_message) or WaitingView(public_id, is_posted=True)
    return render_fragment(
        "waiting_messages/updated.partials.html", view=WaitingUpdate(view, returned_text, announcement)
    )
