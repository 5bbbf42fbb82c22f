"""Drafts: store unsent text, and estimate its context usage."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, Flask, request
from werkzeug.wrappers import Response

from chatsite.models import AnonymousUser, Conversation, User
from chatsite.services.chat import drafts, prompt_report
from chatsite.services.chat.prompt_report import ContextUsage
from chatsite.web.core.htmx import htmx_response
from chatsite.web.core.identity import current_limits, current_user, get_conversation
from chatsite.web.core.templating import render_fragment

bp = Blueprint("drafts", __name__)


@dataclass(frozen=True)
class SavedDraft:
    """The result of storing a draft: its version, and the context usage of its conversation with the draft included."""

    draft_version: str
    conversation: Conversation | None = None
    context_usage: ContextUsage | None = None


def init_app(app: Flask) -> None:
    """Register the template global `max_message_chars`."""
    chars = app.config["MAX_MESSAGE_CHARS"]
    app.jinja_env.globals.update(max_message_chars=lambda: chars)


@bp.put("/draft")
def create() -> Response | str:
    """Store the draft of a conversation that does not exist yet. Raises DraftTooLongError.

    Nothing is stored for anonymous users and for temporary chats.
    """
    user = current_user()
    if isinstance(user, AnonymousUser) or request.form.get("temporary") == "1":
        return htmx_response("", 204)
    return render_fragment("drafts/saved.partials.html", view=SavedDraft(_save_draft(user)))


@bp.put("/conversations/<public_id>/draft")
def update(public_id: str) -> str:
    """Store the draft of a conversation, and show the context usage with the draft included.

    Raises ConversationNotFoundError, DraftTooLongError.
    """
    conversation = get_conversation(public_id)
    version = _save_draft(conversation)
    usage = prompt_report.estimate_context_usage(conversation, len(request.form.get("text", "")))
    return render_fragment("drafts/saved.partials.html", view=SavedDraft(version, conversation, usage))


def _save_draft(owner: Conversation | User) -> str:
    form = request.form
    text, version, idempotency_key = (form.get(name, "") for name in ("text", "draft_version", "idempotency_key"))
    return drafts.save(
        owner, text, version, idempotency_key=idempotency_key, max_message_chars=current_limits().max_message_chars
    )
