"""Where a conversation is read: which of its messages a page shows, and which versions they have."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time

from flask import Flask, g, request
from flask_babel import get_timezone

from chatsite.errors import DayUnknownError, NotFoundError
from chatsite.models import Conversation, Message
from chatsite.services import branches, messages, windows
from chatsite.services.branches import Place
from chatsite.services.windows import Window
from chatsite.web.access import get_message, visitor


def init_app(app: Flask) -> None:
    """What templates need to show messages among their versions."""
    app.jinja_env.globals.update(look_up_places=look_up_places, place_of=place_of)


def place_asked_for(conversation: Conversation) -> Message | None:
    """The message that `?at=start` or `?on=<day>` stands for; None where neither is asked, or nothing is so late.

    Raises DayUnknownError.
    """
    found = None
    if request.args.get("at") == "start":
        found = branches.root(conversation)
    elif day := request.args.get("on"):
        found = branches.first_since(conversation, _beginning_of(day))
    return messages.by_id(found) if found else None


def window_asked_for(conversation: Conversation) -> Window:
    """The messages around `?at=`, those above `?before=`, those below `?later=`, or else the last ones.

    Raises NotFoundError when the conversation has no message of that name.
    """
    at, before, later = (request.args.get(name) for name in ("at", "before", "later"))
    if later:
        return windows.after(conversation, later)
    if not at or at in {"start", "end"}:
        return windows.until(conversation, before)
    message = get_message(at)
    if message.conversation_id != conversation.id:
        raise NotFoundError
    return windows.around(conversation, message.id)


def tail(public_id: str) -> tuple[Message, Window]:
    """A message as it is now, and the window that begins with it."""
    first = messages.get(visitor(), public_id)
    below = windows.after(first.conversation, public_id)
    return first, Window([first, *below.messages], earlier=True, later=below.later)


def look_up_places(rows: Iterable[Message]) -> None:
    """Ask for the places of all messages of a page at once, where `place_of` would ask one by one."""
    rows = list(rows)
    _known().update({row.id: None for row in rows} | dict(branches.places(rows)))


def place_of(message: Message) -> Place | None:
    """Where a message stands among its versions; None when it has no others."""
    if message.id not in _known():
        look_up_places([message])
    return _known()[message.id]


def _known() -> dict[int, Place | None]:
    """The places that are known in this request."""
    if "places" not in g:
        g.places = {}
    return g.places  # type: ignore[no-any-return]


def _beginning_of(day: str) -> datetime:
    """The first moment of a day where the visitor lives."""
    try:
        return datetime.combine(date.fromisoformat(day), time.min, get_timezone()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise DayUnknownError from None
