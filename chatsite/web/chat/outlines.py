"""The outline of a conversation: its questions, beside the messages or as a page."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, render_template, request

from chatsite.errors import NotFoundError
from chatsite.models import Conversation
from chatsite.services.chat import outline
from chatsite.services.chat.outline import Outline
from chatsite.web.core.htmx import htmx_headers
from chatsite.web.core.identity import get_conversation, get_message
from chatsite.web.core.page_view import PageView
from chatsite.web.core.templating import render_macro

bp = Blueprint("outlines", __name__)


@dataclass(frozen=True, kw_only=True)
class OutlinePage(PageView):
    """The questions of a conversation, with the ways to its beginning, its end and a day."""

    conversation: Conversation
    outline: Outline


@bp.get("/conversations/<public_id>/questions")
def show(public_id: str) -> str:
    """Show the questions of the active branch, or of the branch of `?message=`: as a page, or as a rail for htmx.

    Raises ConversationNotFoundError, and NotFoundError if the message is not in this conversation.
    """
    conversation = get_conversation(public_id)
    shown_id = request.args.get("message")
    shown = get_message(shown_id) if shown_id else None
    if shown is not None and shown.conversation_id != conversation.id:
        raise NotFoundError
    found = outline.load_outline(conversation, shown)
    if htmx_headers().wants_fragment:
        return render_macro("outlines/_rail.html", "outline_rail", conversation, found)
    view = OutlinePage(conversation=conversation, outline=found)
    return render_template("outlines/show.html", view=view)
