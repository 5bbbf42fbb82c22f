"""Read marks: an open page says that its conversation was seen, and the list asks what is still being written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask import Blueprint
from werkzeug.wrappers import Response

from chatsite.models import Conversation, Tag
from chatsite.services.chat import read_marks
from chatsite.services.organize import tags
from chatsite.web.core.htmx import htmx_response
from chatsite.web.core.identity import get_conversation
from chatsite.web.core.open_conversation import open_conversation_id
from chatsite.web.core.templating import render_fragment

bp = Blueprint("read_marks", __name__)


@dataclass(frozen=True)
class SeenView:
    """The row of a conversation that was seen."""

    conversation: Conversation
    tags: Sequence[Tag]
    is_current: bool


@bp.put("/conversations/<public_id>/read-mark")
def update(public_id: str) -> Response:
    """Remember that a conversation was seen, and renew its row in the sidebar. Raises ConversationNotFoundError."""
    conversation = get_conversation(public_id)
    read_marks.mark_read(conversation)
    row = SeenView(
        conversation,
        tags.group_by_conversation([conversation]).get(conversation.id, ()),
        is_current=public_id == open_conversation_id(),
    )
    return htmx_response(render_fragment("conversations/row.partials.html", view=row))
