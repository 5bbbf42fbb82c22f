"""Search: messages of all branches and titles of conversations, the newest first or the most fitting.

Archived conversations are searched too. Those in the trash are not, and temporary ones are in no index at all.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import contains_eager

from chatsite.database import db
from chatsite.errors import NotFoundError
from chatsite.models import Conversation, ConversationTag, Message, Tag, User
from chatsite.services import conversations, search_indexes, search_matches
from chatsite.services.search_indexes import Span, row_id
from chatsite.services.search_query import Query, parse

T = TypeVar("T")
Rows = TypeVar("Rows", bound=Select[Any])

PAGE_SIZE = 20
TITLES = 5
# How far one page looks when what it finds in the index is in the trash or lacks the tag: then it ends, and the next
# page goes on from there.
BATCH = 250
MOST_LOOKED_AT = 2000
# Of how many of the newest messages that fit the most fitting are told. To look at all of them would take the longer
# the more there are, and so would an index: it counts how rare a word is among the messages of everybody.
POOL = 1000
RANKED_CHARS = 8000


class Sort(enum.StrEnum):
    """In which order messages are found."""

    NEWEST = "newest"
    RELEVANCE = "relevance"


@dataclass(frozen=True)
class Found:
    """What a query found: conversations by their titles (on the first page), messages, and where the next page begins.

    With `more_titles` there are more titles than these. A page may hold less than there is room for, or nothing, and
    yet have a `next` one. When only the newest messages that fit were ranked, `newest_only` is how many.
    """

    query: Query
    titles: Sequence[Conversation] = ()
    more_titles: bool = False
    messages: Sequence[Message] = ()
    next: str | None = None
    newest_only: int = 0

    @property
    def count(self) -> int:
        """How many results are on this page."""
        return len(self.titles) + len(self.messages)


def find(
    user: User | None,
    typed: str,
    sort: Sort = Sort.NEWEST,
    after: str | None = None,
    zone: tzinfo = UTC,
    size: int = PAGE_SIZE,
) -> Found:
    """What the user wrote or was answered that fits what was typed; nothing for somebody who never wrote.

    `after` is the `next` of the page before. `zone` is where the days of `before:` and `after:` are. Raises
    NotFoundError when `after` is not one of ours.
    """
    query = parse(typed, zone)
    place = _place(after)
    if user is None or query.empty:
        return Found(query)
    if query.in_titles:
        return _titles(user, query, place, size)
    if sort is Sort.RELEVANCE and query.words:
        found = _best(user, query, place or 0, size)
    else:
        found = _newest(user, query, place, size)
    if place is not None or not _may_be_title(query):
        return found
    of_titles = _titles(user, query, None, TITLES)
    return replace(found, titles=of_titles.titles, more_titles=of_titles.next is not None)


def _may_be_title(query: Query) -> bool:
    """Whether titles can fit: nobody speaks them, and words are needed to find them."""
    return bool(query.words) and not (query.role or query.models or query.without_models)


def _titles(user: User, query: Query, place: int | None, size: int) -> Found:
    """Conversations whose titles fit, the newest first."""

    def look(span: Span, limit: int) -> Sequence[int]:
        return search_indexes.titles(user.id, query, span, limit)

    def load(ids: Sequence[int]) -> dict[int, Conversation]:
        rows = db.session.scalars(select(Conversation).where(Conversation.id.in_(ids), *_conditions(user, query)))
        return {row.id: row for row in rows}

    items, following = _collect(look, load, Span.of(query, place), size)
    return Found(query, titles=items, next=following)


def _newest(user: User, query: Query, place: int | None, size: int) -> Found:
    """Messages that fit, the newest first."""

    def look(span: Span, limit: int) -> Sequence[int]:
        return search_indexes.newest(user.id, query, span, limit)

    items, following = _collect(look, lambda ids: _messages(user, query, ids), Span.of(query, place), size)
    return Found(query, messages=items, next=following)


def _best(user: User, query: Query, first: int, size: int) -> Found:
    """The newest messages that fit, ranked; `first` is how many of them came on the pages before."""
    places = {row_id(each): each for each in search_indexes.newest(user.id, query, Span.of(query), POOL)}
    beginning = func.substr(Message.text, 1, RANKED_CHARS)
    rows = db.session.execute(_visible(select(Message.id, beginning), user, query, places))
    best = search_matches.ranked(((places[each], text) for each, text in rows), query)
    shown = [row_id(each) for each in best[first : first + size]]
    found = _messages(user, query, shown)
    following = str(first + size) if len(best) > first + size else None
    items = [found[each] for each in shown if each in found]
    return Found(query, messages=items, next=following, newest_only=POOL if len(places) == POOL else 0)


def _collect(
    look: Callable[[Span, int], Sequence[int]],
    load: Callable[[Sequence[int]], dict[int, T]],
    span: Span,
    size: int,
) -> tuple[list[T], str | None]:
    """A page of what is at the places that `look` finds and that `load` does not leave out."""
    items: list[T] = []
    looked_at, limit, end = 0, size + 1, span.end
    while looked_at < MOST_LOOKED_AT:
        places = look(Span(span.lowest, end), limit)
        rows = load([row_id(place) for place in places])
        for place in places:
            row = rows.get(row_id(place))
            if row is not None and len(items) == size:
                return items, str(end)
            items += [row] if row is not None else []
            end = place
        if len(places) < limit:
            return items, None
        looked_at += limit
        limit = BATCH
    return items, str(end)


def _messages(user: User, query: Query, ids: Collection[int]) -> dict[int, Message]:
    """Of these messages those that the user may see, by their ids, with their conversations."""
    seen = _visible(select(Message), user, query, ids)
    return {row.id: row for row in db.session.scalars(seen.options(contains_eager(Message.conversation)))}


def _visible(rows: Rows, user: User, query: Query, ids: Collection[int]) -> Rows:
    """Of these messages those that the user may see, and that are where the query looks."""
    return rows.join(Message.conversation).where(Message.id.in_(ids), *_conditions(user, query))


def _conditions(user: User, query: Query) -> Iterator[ColumnElement[bool]]:
    """What must be true of a conversation besides what the index knows."""
    # The sum keeps SQLite from reading all conversations of the user for the few that were found.
    yield Conversation.user_id + 0 == user.id
    yield conversations.alive()
    yield Conversation.expires_at.is_(None)
    for key in query.tags:
        yield _tagged(user, key)
    for key in query.without_tags:
        yield ~_tagged(user, key)


def _tagged(user: User, key: str) -> ColumnElement[bool]:
    """Whether a conversation has the user's tag of that name."""
    tag = select(Tag.id).where(Tag.user_id == user.id, Tag.key == key).scalar_subquery()
    return (
        select(ConversationTag.tag_id)
        .where(ConversationTag.conversation_id == Conversation.id, ConversationTag.tag_id == tag)
        .exists()
    )


def _place(after: str | None) -> int | None:
    if after is None:
        return None
    if not (after.isascii() and after.isdecimal() and len(after) < 20):
        raise NotFoundError
    return min(int(after), search_indexes.HIGHEST)
