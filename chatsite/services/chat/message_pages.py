"""Pages of messages: as many successive messages of a branch as a page shows.

A page is bounded by the number of its messages and by the number of their characters, whichever ends it first. Its
texts are in memory several times while it is built: as rows, as HTML and as the response.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import accumulate

from sqlalchemy import select
from sqlalchemy.orm import joinedload

from chatsite.database import db
from chatsite.errors import NotFoundError
from chatsite.models import Conversation, Message, Role
from chatsite.services.chat import message_tree

PAGE_SIZE = 60
# More than a window shows; the rest of a page follows them.
SHORT_PAGE_SIZE = 16
# Ordinary pages have a tenth of it. An imported message alone may be as long.
MAX_PAGE_CHARS = 1_000_000


@dataclass(frozen=True)
class MessagePage:
    """Successive messages of a branch, and whether there are earlier and later ones.

    One that `is_short` has only what is seen first of the page that it begins.
    """

    messages: Sequence[Message]
    has_earlier: bool
    has_later: bool = False
    is_short: bool = False


def page_before(conversation: Conversation, before: str | None = None, size: int = PAGE_SIZE) -> MessagePage:
    """Return the last messages of the active branch, or the ones above the message with the public id `before`.

    There are at most `size`, and fewer long ones. Raises NotFoundError if the conversation has no such message.
    """
    start = get_message_id(conversation, before) if before else conversation.active_leaf_id
    # The named message is not part of the page before it, so one more is read and dropped.
    ids = message_tree.ancestors(start, size + 2)[1:] if before else message_tree.ancestors(start, size + 1)
    shown = take_fitting(ids[:size])
    return MessagePage(_load_messages(shown[::-1]), has_earlier=len(ids) > len(shown), has_later=bool(before))


def short_page(conversation: Conversation) -> MessagePage:
    """Return the last SHORT_PAGE_SIZE messages of the active branch, or fewer long ones."""
    return replace(page_before(conversation, size=SHORT_PAGE_SIZE), is_short=True)


def page_after(conversation: Conversation, public_id: str, size: int = PAGE_SIZE) -> MessagePage:
    """Return the messages that follow a message on its branch, at most `size`, and fewer long ones.

    Raises NotFoundError if the conversation has no message with this public id.
    """
    ids = message_tree.descendants(get_message_id(conversation, public_id), size + 1)
    shown = take_fitting(ids[:size])
    return MessagePage(_load_messages(shown), has_earlier=True, has_later=len(ids) > len(shown))


def page_around(conversation: Conversation, message_id: int, size: int = PAGE_SIZE) -> MessagePage:
    """Return about `size` messages of the branch of a message, with this message in the middle."""
    above = message_tree.ancestors(message_id, size // 2 + 1)
    below = message_tree.descendants(message_id, size // 2 + 1)
    shown_above = take_fitting(above[: size // 2], MAX_PAGE_CHARS // 2)
    # The message itself takes room from both sides.
    shown_below = take_fitting([message_id, *below[: size // 2]], MAX_PAGE_CHARS // 2)[1:]
    return MessagePage(
        _load_messages([*shown_above[::-1], *shown_below]),
        has_earlier=len(above) > len(shown_above),
        has_later=len(below) > len(shown_below),
    )


def messages_after(conversation: Conversation, after: str | None, size: int = PAGE_SIZE) -> Sequence[Message]:
    """Return the last messages below the one with the public id `after`: the ones that a stale tab lacks.

    If the conversation has no such message, return the last `size` messages of the active branch.
    """
    try:
        last_known_id = get_message_id(conversation, after or "")
    except NotFoundError:
        return page_before(conversation, size=size).messages
    ids = message_tree.descendants(last_known_id)[-size:]
    return _load_messages(take_fitting(ids[::-1])[::-1])


def previous_times(messages: Sequence[Message]) -> Mapping[int, datetime]:
    """Return when the message before each of the questions among `messages` was written, by the id of the question."""
    previous_ids = {each.id: each.parent_id for each in messages if each.role is Role.USER and each.parent_id}
    times = {each.id: each.created_at for each in messages}
    # Only that of the first one is on another page.
    missing = set(previous_ids.values()) - times.keys()
    if missing:
        rows = db.session.execute(select(Message.id, Message.created_at).where(Message.id.in_(missing)))
        times.update({row.id: row.created_at for row in rows})
    return {
        question_id: times[previous_id] for question_id, previous_id in previous_ids.items() if previous_id in times
    }


def take_fitting(ids: Sequence[int], max_chars: int = MAX_PAGE_CHARS) -> Sequence[int]:
    """Return as many of the first messages as have at most `max_chars` characters together, and at least one."""
    lengths = message_tree.shown_lengths(ids)
    totals = accumulate(lengths.get(message_id, 0) for message_id in ids)
    return ids[: max(1, sum(total <= max_chars for total in totals))]


def find_page_ends(ids: Sequence[int]) -> list[int]:
    """Return the last message of each page, for the messages `ids` of a branch from its beginning."""
    lengths = message_tree.shown_lengths(ids)
    ends: list[int] = []
    count = chars = 0
    for previous_id, message_id in zip([0, *ids], ids, strict=False):
        count, chars = count + 1, chars + lengths[message_id]
        if count > PAGE_SIZE or (count > 1 and chars > MAX_PAGE_CHARS):
            ends.append(previous_id)
            count, chars = 1, lengths[message_id]
    return [*ends, *ids[-1:]]


def _load_messages(ids: Sequence[int]) -> Sequence[Message]:
    """Return the messages with these ids, in the order of the ids; missing ones are left out."""
    if not ids:
        return []
    rows = db.session.scalars(
        select(Message)
        .where(Message.id.in_(ids))
        .options(joinedload(Message.generation))
        .execution_options(populate_existing=True)
    )
    by_id = {row.id: row for row in rows}
    return [by_id[message_id] for message_id in ids if message_id in by_id]


def get_message_id(conversation: Conversation, public_id: str) -> int:
    """Return the row id of the message with this public id in a conversation. Raises NotFoundError."""
    row_id = db.session.scalar(
        select(Message.id).where(Message.public_id == public_id, Message.conversation_id == conversation.id)
    )
    if row_id is None:
        raise NotFoundError
    return row_id
