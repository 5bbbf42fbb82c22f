"""Search: messages of all branches and titles of conversations, newest first or by relevance.

Archived conversations are searched too. Conversations in the trash are filtered out, and temporary chats are in no
index.
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
from chatsite.models import AnonymousUser, Conversation, ConversationTag, Message, Tag, User, Visitor
from chatsite.services.chat import conversations
from chatsite.services.search import indexes, ranking
from chatsite.services.search.indexes import SortKeyRange, message_id_of
from chatsite.services.search.query import Query, parse_query

T = TypeVar("T")
SelectT = TypeVar("SelectT", bound=Select[Any])

PAGE_SIZE = 20
MAX_TITLES_ON_FIRST_PAGE = 5
# Only so many of the newest matches are ranked, so that the time does not grow with the number of matches. The ranking
# of FTS5 would have to score all of them too, and it rates the rarity of a word by the messages of all users.
MAX_RANKED_MESSAGES = 1000
MAX_RANKED_CHARS = 8000


@dataclass(frozen=True)
class ScanLimits:
    """How many matches are read at once, and how many for one page."""

    batch_size: int
    max_scanned: int


# The index knows neither trash nor tags, so a page may have to skip many matches. This bounds the work of one request:
# after so many matches the page ends, and the next one continues from there.
SCAN_LIMITS = ScanLimits(250, 2000)
# In one conversation nearly all matches may be of others. The database skips them, so it can look at more of them.
CONVERSATION_SCAN_LIMITS = ScanLimits(1000, 10_000)


class Sort(enum.StrEnum):
    """Order of the found messages."""

    NEWEST = "newest"
    RELEVANCE = "relevance"


@dataclass(frozen=True)
class SearchResults:
    """One page of results: conversations by title (first page only), messages, and the cursor of the next page.

    With `has_more_titles` there are more titles than these. A page may have fewer results than its size, or none, and
    still have a `next` page. `ranked_newest_count` is how many messages were ranked if there are more matches; 0 if all
    were.
    """

    query: Query
    titles: Sequence[Conversation] = ()
    has_more_titles: bool = False
    messages: Sequence[Message] = ()
    next: str | None = None
    ranked_newest_count: int = 0

    @property
    def result_count(self) -> int:
        """The number of results on this page."""
        return len(self.titles) + len(self.messages)


@dataclass(frozen=True)
class SearchOptions:
    """Order and page of a search.

    `after` is the `next` of the page before, and `zone` the time zone of the dates in `before:` and `after:`. With
    `conversation` only its messages are searched, the newest first.
    """

    sort: Sort = Sort.NEWEST
    after: str | None = None
    zone: tzinfo = UTC
    size: int = PAGE_SIZE
    conversation: Conversation | None = None


def search(user: Visitor, typed: str, options: SearchOptions | None = None) -> SearchResults:
    """Return the messages and titles of a user that match a typed query.

    Raises NotFoundError if `options.after` is not a cursor.
    """
    options = options or SearchOptions()
    query = parse_query(typed, options.zone)
    position = _parse_position(options.after)
    if isinstance(user, AnonymousUser) or query.is_empty:
        return SearchResults(query)
    if options.conversation is not None:
        return _search_newest(user, query, position, size=options.size, conversation=options.conversation)
    if query.in_titles:
        return _search_titles(user, query, position, size=options.size)
    if options.sort is Sort.RELEVANCE and query.words:
        results = _search_most_relevant(user, query, position or 0, size=options.size)
    else:
        results = _search_newest(user, query, position, size=options.size)
    if position is not None or not _can_match_title(query):
        return results
    title_results = _search_titles(user, query, None, size=MAX_TITLES_ON_FIRST_PAGE)
    return replace(results, titles=title_results.titles, has_more_titles=title_results.next is not None)


def _can_match_title(query: Query) -> bool:
    """Return whether titles can match: the query has words, and no filter that applies to messages only."""
    return bool(query.words) and not (query.role or query.models or query.excluded_models)


def _search_titles(user: User, query: Query, end: int | None, *, size: int) -> SearchResults:
    """Return the conversations whose titles match, newest first; `end` is the sort key where the page before ended."""

    def find_sort_keys(span: SortKeyRange, limit: int) -> Sequence[int]:
        return indexes.newest_titles(user.id, query, span, limit=limit)

    def load_rows(ids: Sequence[int]) -> dict[int, Conversation]:
        rows = db.session.scalars(
            select(Conversation).where(Conversation.id.in_(ids), *_conversation_conditions(user, query))
        )
        return {row.id: row for row in rows}

    items, next_position = _collect_page(find_sort_keys, load_rows, SortKeyRange.for_query(query, end), size=size)
    return SearchResults(query, titles=items, next=next_position)


def _search_newest(
    user: User, query: Query, end: int | None, *, size: int, conversation: Conversation | None = None
) -> SearchResults:
    """Return the messages that match, newest first; `end` is the sort key where the page before ended."""

    def find_sort_keys(span: SortKeyRange, limit: int) -> Sequence[int]:
        return indexes.newest_messages(user.id, query, span, limit=limit)

    def load_rows(ids: Collection[int]) -> dict[int, Message]:
        return _load_messages(user, query, ids, conversation=conversation)

    items, next_position = _collect_page(
        find_sort_keys,
        load_rows,
        SortKeyRange.for_query(query, end),
        size=size,
        limits=CONVERSATION_SCAN_LIMITS if conversation else SCAN_LIMITS,
    )
    return SearchResults(query, messages=items, next=next_position)


def _search_most_relevant(user: User, query: Query, offset: int, *, size: int) -> SearchResults:
    """Return the best of the newest messages that match; `offset` is the number of results on earlier pages."""
    sort_keys_by_id = {
        message_id_of(sort_key): sort_key
        for sort_key in indexes.newest_messages(
            user.id, query, SortKeyRange.for_query(query), limit=MAX_RANKED_MESSAGES
        )
    }
    text_start = func.substr(Message.text, 1, MAX_RANKED_CHARS)
    rows = db.session.execute(_visible_to(select(Message.id, text_start), user, query, ids=sort_keys_by_id))
    ranked_keys = ranking.rank_texts(((sort_keys_by_id[sort_key], text) for sort_key, text in rows), query)
    page_ids = [message_id_of(sort_key) for sort_key in ranked_keys[offset : offset + size]]
    messages = _load_messages(user, query, page_ids)
    next_position = str(offset + size) if len(ranked_keys) > offset + size else None
    items = [messages[sort_key] for sort_key in page_ids if sort_key in messages]
    return SearchResults(
        query,
        messages=items,
        next=next_position,
        ranked_newest_count=MAX_RANKED_MESSAGES if len(sort_keys_by_id) == MAX_RANKED_MESSAGES else 0,
    )


def _collect_page(
    find_sort_keys: Callable[[SortKeyRange, int], Sequence[int]],
    load_rows: Callable[[Sequence[int]], dict[int, T]],
    key_range: SortKeyRange,
    *,
    size: int,
    limits: ScanLimits = SCAN_LIMITS,
) -> tuple[list[T], str | None]:
    """Return one page of the rows that the index finds and `load_rows` keeps, and the cursor of the next page.

    `find_sort_keys` returns at most so many sort keys of a range, newest first; `load_rows` returns the rows by id.
    """
    items: list[T] = []
    # The first batch is as small as a page, since usually every match may be shown; only then larger ones pay.
    scanned, limit, end = 0, size + 1, key_range.end
    while scanned < limits.max_scanned:
        sort_keys = find_sort_keys(SortKeyRange(key_range.lowest, end), limit)
        rows = load_rows([message_id_of(sort_key) for sort_key in sort_keys])
        for sort_key in sort_keys:
            row = rows.get(message_id_of(sort_key))
            if row is not None and len(items) == size:
                return items, str(end)
            items += [row] if row is not None else []
            end = sort_key
        if len(sort_keys) < limit:
            return items, None
        scanned += limit
        limit = limits.batch_size
    return items, str(end)


def _load_messages(
    user: User, query: Query, ids: Collection[int], *, conversation: Conversation | None = None
) -> dict[int, Message]:
    """Return the messages among `ids` that the user may see and the tags allow, by id, with their conversations."""
    visible_messages = _visible_to(select(Message), user, query, ids=ids)
    if conversation is not None:
        # With `+ 0` SQLite does not read the whole conversation by the index on conversation_id.
        visible_messages = visible_messages.where(Message.conversation_id + 0 == conversation.id)
    return {row.id: row for row in db.session.scalars(visible_messages.options(contains_eager(Message.conversation)))}


def _visible_to(rows: SelectT, user: User, query: Query, *, ids: Collection[int]) -> SelectT:
    """Restrict a query of messages to `ids`, to the user's visible conversations, and to the tags of the query."""
    return rows.join(Message.conversation).where(Message.id.in_(ids), *_conversation_conditions(user, query))


def _conversation_conditions(user: User, query: Query) -> Iterator[ColumnElement[bool]]:
    """Yield the SQL conditions on a conversation that the index does not check: owner, visibility and tags."""
    # With `+ 0` SQLite does not use the index on user_id, which would read all conversations of the user for a few.
    yield Conversation.user_id + 0 == user.id
    yield conversations.visible_clause()
    yield Conversation.expires_at.is_(None)
    for tag_name in query.tags:
        yield _has_tag(user, tag_name)
    for tag_name in query.excluded_tags:
        yield ~_has_tag(user, tag_name)


def _has_tag(user: User, normalized_name: str) -> ColumnElement[bool]:
    """Return the SQL condition that a conversation has the user's tag with this normalized name."""
    tag = select(Tag.id).where(Tag.user_id == user.id, Tag.normalized_name == normalized_name).scalar_subquery()
    return (
        select(ConversationTag.tag_id)
        .where(ConversationTag.conversation_id == Conversation.id, ConversationTag.tag_id == tag)
        .exists()
    )


def _parse_position(after: str | None) -> int | None:
    """Return the number in a cursor; None for None. Raises NotFoundError for a text that is no cursor."""
    if after is None:
        return None
    if not (after.isascii() and after.isdecimal() and len(after) < 20):
        raise NotFoundError
    return min(int(after), indexes.MAX_SORT_KEY)
