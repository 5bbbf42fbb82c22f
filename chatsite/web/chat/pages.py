"""Message pages: which messages of a conversation a request shows."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

from flask import redirect, request, url_for
from flask_babel import get_timezone
from werkzeug.wrappers import Response

from chatsite.errors import InvalidDateError, NotFoundError
from chatsite.models import Conversation, Message
from chatsite.services.chat import message_pages, message_tree, messages
from chatsite.services.chat.message_pages import MessagePage
from chatsite.web.chat.conversation_views import build_finished
from chatsite.web.core.htmx import htmx_headers
from chatsite.web.core.identity import current_user, get_message
from chatsite.web.core.templating import message_url, render_fragment


def find_requested_message(conversation: Conversation) -> Message | None:
    """Return the first message for `?position=start`, or the first one since `?date=`.

    Returns None if neither is given, or if there is no such message. Raises InvalidDateError.
    """
    message_id = None
    if request.args.get("position") == "start":
        message_id = message_tree.find_root_id(conversation)
    elif day := request.args.get("date"):
        message_id = message_tree.find_first_message_since(conversation, _start_of_day(day))
    return messages.get_by_id(message_id) if message_id else None


def load_requested_page(conversation: Conversation) -> MessagePage:
    """Load the messages around `?message=`, before `?before=` or after `?after=`, or else the last ones.

    A column that may be minimal begins with a few of the last ones, and loads those before them at once.

    Raises NotFoundError if the message is not in this conversation.
    """
    target, before, after = (request.args.get(name) for name in ("message", "before", "after"))
    if after:
        return message_pages.page_after(conversation, after)
    if not target and not before and htmx_headers().prefers_minimal:
        return message_pages.short_page(conversation)
    if not target:
        return message_pages.page_before(conversation, before)
    message = get_message(target)
    if message.conversation_id != conversation.id:
        raise NotFoundError
    return message_pages.page_around(conversation, message.id)


def load_page_from(public_id: str) -> MessagePage:
    """Load the message page that starts with a message, in its current state. Raises NotFoundError."""
    first = messages.get(current_user(), public_id)
    following = message_pages.page_after(first.conversation, public_id)
    return MessagePage([first, *following.messages], has_earlier=True, has_later=following.has_later)


def render_finished_message(public_id: str, is_followed: bool = False) -> Response | str:
    """Render a message in its current state, to replace its own element; without htmx, redirect to its conversation.

    With `is_followed` the page has an open stream, which sends the text of an answer in progress; the response then
    leaves the text out. Raises NotFoundError.
    """
    message = get_message(public_id)
    conversation = message.conversation
    if htmx_headers().wants_fragment:
        view = build_finished(message, is_streamed=is_followed and message.is_in_progress)
        return render_fragment("messages/finished.partials.html", view=view)
    is_last = message.id == conversation.active_leaf_id
    conversation_url = url_for("conversations.show", public_id=conversation.public_id)
    return redirect(conversation_url if is_last else message_url(message), code=303)


def _start_of_day(day: str) -> datetime:
    """Return the first moment of an ISO date in the visitor's time zone, in UTC. Raises InvalidDateError."""
    try:
        return datetime.combine(date.fromisoformat(day), time.min, get_timezone()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidDateError from None
