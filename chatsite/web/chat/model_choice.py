"""Model choice: the model and the preset that answer next in a conversation."""

from __future__ import annotations

from flask import Blueprint, redirect, request, url_for
from werkzeug.wrappers import Response

from chatsite.services.chat import chat_settings, message_pages
from chatsite.web.chat.conversation_views import build_picker_update
from chatsite.web.core.htmx import htmx_headers
from chatsite.web.core.identity import get_conversation
from chatsite.web.core.templating import render_fragment
from chatsite.web.models.picker import is_compare_requested, requested_choice

bp = Blueprint("model_choice", __name__)


@bp.get("/model-picker")
def show() -> Response | str:
    """Render the model picker of a new conversation for the choice `?model=` and `?preset=`.

    Without htmx, redirect to the front page with this choice. Raises ModelNotAvailableError, InvalidPresetError,
    PersonaNotFoundError.
    """
    model_choice = requested_choice(None)
    if htmx_headers().wants_fragment:
        return render_fragment("conversations/model_picker.partials.html", view=build_picker_update(None))
    persona = request.args.get("persona") or None
    url = url_for("conversations.new", model=model_choice.model, preset=model_choice.preset, persona=persona)
    return redirect(url, code=303)


@bp.patch("/conversations/<public_id>/model")
def update(public_id: str) -> Response | str:
    """Set the model and the preset of a conversation from here on; while models are compared, only show the choice.

    Raises ConversationNotFoundError, ModelNotAvailableError, InvalidPresetError.
    """
    conversation = get_conversation(public_id)
    # A comparison is for one question, and leaves alone who answers after it.
    if not is_compare_requested():
        conversation = chat_settings.set_model(conversation, requested_choice(conversation))
    if not htmx_headers().wants_fragment:
        return redirect(url_for("conversations.show", public_id=conversation.public_id), code=303)
    last_messages = message_pages.page_before(conversation, size=1).messages
    view = build_picker_update(conversation, last_messages[-1] if last_messages else None)
    return render_fragment("conversations/model_picker.partials.html", view=view)
