"""Search in one conversation: over all its messages, also those that are not on the page."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from flask import Blueprint, render_template, request
from flask_babel import get_timezone

from chatsite.errors import NotFoundError
from chatsite.models import Conversation, Message
from chatsite.services.chat import branches, message_tree
from chatsite.services.search import search
from chatsite.services.search.query import MAX_QUERY_CHARS
from chatsite.services.search.search import SearchResults
from chatsite.web.core.htmx import htmx_headers
from chatsite.web.core.identity import current_user, get_conversation
from chatsite.web.core.page_view import PageView
from chatsite.web.core.templating import render_macro

bp = Blueprint("chat_search", __name__)


@dataclass(frozen=True)
class ChatSearch:
    """What was found in a conversation.

    `message_count` is how many messages are searched, `position` the result that the page shows (-1 for none), and
    `other_branch_ids` the row ids of messages that are not on the active branch.
    """

    conversation: Conversation
    query_text: str
    results: SearchResults
    message_count: int
    position: int
    other_branch_ids: Collection[int]

    @property
    def earlier(self) -> Message | None:
        """The result before the one that the page shows; they are listed from the newest on."""
        return self._result(self.position + 1)

    @property
    def later(self) -> Message | None:
        """The result after the one that the page shows."""
        return self._result(self.position - 1)

    def _result(self, position: int) -> Message | None:
        return self.results.messages[position] if 0 <= position < len(self.results.messages) else None


@dataclass(frozen=True, kw_only=True)
class ChatSearchPage(PageView):
    """The search form of a conversation with its results."""

    conversation: Conversation
    search: ChatSearch
    max_query_chars: int = MAX_QUERY_CHARS


@bp.get("/conversations/<public_id>/search")
def show(public_id: str) -> str:
    """Show the messages of a conversation that match `?q=`; `?at=` is the result that the page shows.

    htmx gets the bar over the conversation (`?bar=open`), what stands for it while it is closed (`?bar=closed`), or the
    results in it. Raises ConversationNotFoundError, and NotFoundError for a temporary chat and a malformed cursor.
    """
    conversation = get_conversation(public_id)
    if conversation.expires_at:
        raise NotFoundError
    bar = request.args.get("bar")
    is_fragment = htmx_headers().wants_fragment
    if is_fragment and bar == "closed":
        return render_macro("search/_closed_chat_bar.html", "closed_chat_bar", conversation, has_focus=True)
    found = _run_search(conversation)
    if is_fragment and bar == "open":
        return render_macro("search/_chat_bar.html", "chat_bar", found)
    if is_fragment:
        return render_template("search/chat_results.partials.html", view=found)
    view = ChatSearchPage(conversation=conversation, search=found)
    return render_template("search/chat.html", view=view)


def _run_search(conversation: Conversation) -> ChatSearch:
    query_text = request.args.get("q", "")[:MAX_QUERY_CHARS]
    options = search.SearchOptions(after=request.args.get("after"), zone=get_timezone(), conversation=conversation)
    results = search.search(current_user(), query_text, options)
    shown = [message.public_id for message in results.messages]
    at = request.args.get("at", "")
    return ChatSearch(
        conversation,
        query_text,
        results,
        message_tree.count_messages(conversation),
        position=shown.index(at) if at in shown else -1,
        other_branch_ids=branches.map_other_branches(conversation) or {},
    )
