"""The conversation that the browser shows, as htmx names it with each request, and its menu."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from chatsite.models import Conversation, Message, Tag
from chatsite.services.chat import conversations
from chatsite.services.organize import tags
from chatsite.web.core.htmx import htmx_headers
from chatsite.web.core.identity import current_user
from chatsite.web.core.security import safe_redirect_path
from chatsite.web.core.sub_path import site_prefix

CONVERSATION_PATH = re.compile(r"/conversations/([\w-]+)/?")


# A pattern and not a URL parser, because the header may contain any text and parsers raise errors for some.
PAGE_URL = re.compile(r"(?:[a-z]+://[^/?#]*)?(/[^#]*)(?:#.*)?", re.DOTALL)


def open_page() -> str:
    """Return the page that the browser shows, as a path on this site with its query; else the front page.

    Reads the HX-Current-URL header of htmx.
    """
    match = PAGE_URL.fullmatch(htmx_headers().current_url or "")
    return safe_redirect_path(match[1] if match else None)


@dataclass(frozen=True)
class ConversationMenu:
    """The menu of a conversation.

    Before the first message, `conversation` is None and the menu offers a temporary chat. `shared_leaf` is the last
    message of the branch on the page, if that is not the active branch.
    """

    conversation: Conversation | None = None
    tags: Sequence[Tag] = ()
    shared_leaf: Message | None = None


def open_conversation_id() -> str | None:
    """Return the public id of the conversation that the browser shows, or None for other pages."""
    path = open_page().partition("?")[0]
    match = CONVERSATION_PATH.fullmatch(path.removeprefix(site_prefix()))
    return match[1] if match else None


def find_open_conversation() -> Conversation | None:
    """Return the conversation that the browser shows, or None if there is none or it belongs to another user."""
    public_id = open_conversation_id()
    return conversations.find(current_user(), public_id) if public_id else None


def load_menu(conversation: Conversation, shared_leaf: Message | None = None) -> ConversationMenu:
    """Load the menu of a conversation, with its tags."""
    return ConversationMenu(
        conversation, tags.group_by_conversation([conversation]).get(conversation.id, ()), shared_leaf
    )
