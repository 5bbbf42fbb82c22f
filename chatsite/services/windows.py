"""Windows on a conversation: so many messages of a branch as a page shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import joinedload

from chatsite.database import db
from chatsite.errors import NotFoundError
from chatsite.models import Conversation, Message
from chatsite.services import branches

SIZE = 60


@dataclass(frozen=True)
class Window:
    """Some successive messages of a branch, and whether there are earlier and later ones."""

    messages: Sequence[Message]
    earlier: bool
    later: bool = False


def until(conversation: Conversation, before: str | None = None, size: int = SIZE) -> Window:
    """The last `size` messages of the branch that is shown, or those above the message named `before`.

    Raises NotFoundError when the conversation has no message of that name.
    """
    start = id_in(conversation, before) if before else conversation.leaf_id
    # The one that is named is not part of what comes before it.
    ids = branches.ancestors(start, size + 2)[1:] if before else branches.ancestors(start, size + 1)
    return Window(_load(ids[:size][::-1]), earlier=len(ids) > size, later=bool(before))


def after(conversation: Conversation, name: str, size: int = SIZE) -> Window:
    """The `size` messages that follow the message called `name` on its branch. Raises NotFoundError."""
    ids = branches.descendants(id_in(conversation, name), size + 1)
    return Window(_load(ids[:size]), earlier=True, later=len(ids) > size)


def around(conversation: Conversation, message_id: int, size: int = SIZE) -> Window:
    """About `size` messages of the branch of a message, with that message in their middle."""
    above = branches.ancestors(message_id, size // 2 + 1)
    below = branches.descendants(message_id, size // 2 + 1)
    ids = [*above[: size // 2][::-1], *below[: size // 2]]
    return Window(_load(ids), earlier=len(above) > size // 2, later=len(below) > size // 2)


def since(conversation: Conversation, after: str | None, size: int = SIZE) -> Sequence[Message]:
    """The messages below the one named `after`, or the last ones when it is unknown: what a stale tab lacks."""
    try:
        last_known = id_in(conversation, after or "")
    except NotFoundError:
        return until(conversation, size=size).messages
    return _load(branches.descendants(last_known)[-size:])


def _load(ids: Sequence[int]) -> Sequence[Message]:
    """Messages by their ids, in that order."""
    if not ids:
        return []
    rows = db.session.scalars(
        select(Message)
        .where(Message.id.in_(ids))
        .options(joinedload(Message.generation))
        .execution_options(populate_existing=True)
    )
    found = {row.id: row for row in rows}
    return [found[each] for each in ids if each in found]


def id_in(conversation: Conversation, public_id: str) -> int:
    """The row of the message of that name in a conversation. Raises NotFoundError."""
    found = db.session.scalar(
        select(Message.id).where(Message.public_id == public_id, Message.conversation_id == conversation.id)
    )
    if found is None:
        raise NotFoundError
    return found
