"""The palette: finds conversations, actions, models and messages from every page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from flask import Blueprint, redirect, render_template, request, url_for
from flask_babel import get_timezone, gettext
from werkzeug.wrappers import Response

from chatsite.models import Conversation
from chatsite.services.chat import conversations
from chatsite.services.models import catalog
from chatsite.services.search import search
from chatsite.services.search.query import MAX_QUERY_CHARS
from chatsite.services.search.search import SearchResults
from chatsite.services.text import fold_accents
from chatsite.web.core.htmx import htmx_headers
from chatsite.web.core.identity import catalog_config, current_user
from chatsite.web.core.open_conversation import open_conversation_id, open_page
from chatsite.web.core.page_view import PageView
from chatsite.web.core.palette_items import (
    MAX_RECENT,
    PaletteGroup,
    PaletteItem,
    conversation_item,
    nonempty_group,
    recent_group,
)
from chatsite.web.search.actions import list_actions

bp = Blueprint("palette", __name__)

MAX_MESSAGES = 5
MAX_MODELS = 4


@dataclass(frozen=True)
class PaletteResults:
    """The groups of items that match a query."""

    groups: Sequence[PaletteGroup]
    query_text: str

    @property
    def count(self) -> int:
        """The number of items in all groups."""
        return sum(len(group.items) for group in self.groups)


@dataclass(frozen=True, kw_only=True)
class PalettePage(PageView):
    """The palette as a page, for browsers without JavaScript."""

    results: PaletteResults
    conversation_id: str


@bp.get("/palette")
def show() -> Response | str:
    """Show the items that match `?q=`; without a query, recent conversations and all actions.

    htmx gets the items. The form without JavaScript redirects to the first item (`?go=1`), if that is a link.
    """
    query_text, conversation_id = request.args.get("q", "")[:MAX_QUERY_CHARS], _open_conversation_id()
    groups = list(
        _build_groups(query_text, conversations.find(current_user(), conversation_id) if conversation_id else None)
    )
    results = PaletteResults(groups, query_text)
    if htmx_headers().wants_fragment:
        return render_template("palette/results.partials.html", view=results)
    first_item = next((item for group in groups for item in group.items), None)
    if "go" in request.args and first_item and first_item.form_fields is None:
        return redirect(first_item.url, code=303)
    view = PalettePage(
        results=results, conversation_id=request.args.get("conversation", ""), parent=None, has_palette=False
    )
    return render_template("palette/show.html", view=view)


def _open_conversation_id() -> str | None:
    """Return the public id of the conversation behind the palette, from htmx or from the form."""
    return open_conversation_id() or request.args.get("conversation")


def _build_groups(query_text: str, open_conversation: Conversation | None) -> Iterator[PaletteGroup]:
    """Yield the groups of the palette in order, without empty ones."""
    words = fold_accents(query_text).split()
    user = current_user()
    if not words:
        recent = conversations.list_recent(user, MAX_RECENT + 1)
        yield from recent_group(
            [conversation for conversation in recent if conversation is not open_conversation][:MAX_RECENT]
        )
        yield from nonempty_group(gettext("Actions"), list_actions(open_conversation, open_page()))
        return
    results = search.search(user, query_text, search.SearchOptions(zone=get_timezone(), size=MAX_MESSAGES))
    yield from nonempty_group(gettext("Chats"), [conversation_item(conversation) for conversation in results.titles])
    yield from nonempty_group(
        gettext("Actions"), [item for item in list_actions(open_conversation, open_page()) if item.matches(words)]
    )
    yield from nonempty_group(
        gettext("Models"), [item for item in _model_items() if item.matches(words)][: 2 * MAX_MODELS]
    )
    yield from nonempty_group(gettext("Messages"), list(_message_items(results)))


def _message_items(results: SearchResults) -> Iterator[PaletteItem]:
    """Yield an item for each message that the search found."""
    for message in results.messages:
        url = url_for("messages.show", public_id=message.public_id)
        title, timestamp = message.conversation.title, message.created_at
        yield PaletteItem(title, url, "search", timestamp=timestamp, text=message.text, query=results.query)


def _model_items() -> Iterator[PaletteItem]:
    """Yield two items for each available model, a new conversation with it and its page; then those to download."""
    for card in catalog.list_available(catalog_config()):
        title = card.entry.title
        chat_url = url_for("conversations.new", model=card.name)
        yield PaletteItem(gettext("Ask %(model)s", model=title), chat_url, "compose", keywords=card.name)
        details_url = url_for("models.show", name=card.name)
        yield PaletteItem(gettext("About %(model)s", model=title), details_url, "models", keywords=card.name)
    for card in catalog.list_cards(catalog_config()):
        if card.can_pull and not card.is_default:
            title = gettext("Download %(model)s", model=card.entry.title)
            url = url_for("models.show", name=card.name)
            yield PaletteItem(title, url, "download", keywords=f"{card.name} download")
