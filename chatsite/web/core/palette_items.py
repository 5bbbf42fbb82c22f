"""Items of the palette, and the groups that every page contains before the palette asks the server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from flask import url_for
from flask_babel import gettext

from chatsite.models import Conversation
from chatsite.services.search.query import Query
from chatsite.services.text import fold_accents

MAX_RECENT = 6


@dataclass(frozen=True)
class PaletteItem:
    """An item of the palette: a link, or a form if `form_fields` is not None.

    With `clicks` it is a button instead, which clicks the last element of the page that this CSS selector finds. A link
    with `opens_sheet` opens its page over the one that is open.
    `keywords` are additional words to find the item by, `keycaps` the labels of its keys. `timestamp` and `text` belong
    to a conversation or message, `query` is the query that found it.
    """

    title: str
    url: str
    icon: str
    keywords: str = ""
    keycaps: Sequence[Sequence[str]] = ()
    form_fields: Mapping[str, str] | None = None
    clicks: str = ""
    opens_sheet: bool = False
    timestamp: datetime | None = None
    text: str = ""
    query: Query | None = None

    def matches(self, query_words: Sequence[str]) -> bool:
        """Return whether each of `query_words` begins a word of the title or the keywords.

        `query_words` are in lower case and without accents, as `fold_accents` returns them.
        """
        item_words = fold_accents(f"{self.title} {self.keywords}").split()
        return all(any(word.startswith(query_word) for word in item_words) for query_word in query_words)


@dataclass(frozen=True)
class PaletteGroup:
    """Items under a heading."""

    name: str
    items: Sequence[PaletteItem]


def nonempty_group(name: str, items: Sequence[PaletteItem]) -> Iterator[PaletteGroup]:
    """Yield a group with the items, or nothing if there are none."""
    if items:
        yield PaletteGroup(name, items)


def recent_group(recent: Sequence[Conversation]) -> Iterator[PaletteGroup]:
    """Yield a group with the most recent conversations, or nothing if there are none."""
    return nonempty_group(gettext("Recent"), [conversation_item(conversation) for conversation in recent])


def conversation_item(conversation: Conversation) -> PaletteItem:
    """Return the item that leads to a conversation."""
    url = url_for("conversations.show", public_id=conversation.public_id)
    return PaletteItem(conversation.title, url, "chat", timestamp=conversation.updated_at)


def initial_groups(conversations: Sequence[Conversation], current_id: str | None) -> list[PaletteGroup]:
    """Return the groups that the palette shows before the server has answered: recent conversations of the sidebar."""
    recent = sorted(conversations, key=lambda each: each.updated_at, reverse=True)
    return list(recent_group([each for each in recent if each.public_id != current_id][:MAX_RECENT]))
