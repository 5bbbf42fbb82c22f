"""Views of shares, for their owner and for the public."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask import request, url_for
from markupsafe import Markup

from chatsite.errors import gettext_noop
from chatsite.models import Conversation, Message, Role, Share
from chatsite.rendering.process.render_budget import RenderBudget
from chatsite.rendering.text import is_blank
from chatsite.services.pagination import Page
from chatsite.services.sharing import shares
from chatsite.services.sharing.shares import SharedPage, SharePreview
from chatsite.web.core.blocks import render_blocks, render_question
from chatsite.web.core.page_view import PageView
from chatsite.web.core.site_addresses import shared_urls
from chatsite.web.core.sub_path import front_page
from chatsite.web.models.picker import titles_by_model
from chatsite.web.sharing.network_budgets import current_budget

# The lifetimes that `shares.create` and `shares.set_lifetime` accept, in words.
LIFETIMES = (
    ("day", gettext_noop("In a day")),
    ("week", gettext_noop("In a week")),
    ("month", gettext_noop("In 30 days")),
    ("never", gettext_noop("Never")),
)
DEFAULT_LIFETIME = "month"


@dataclass(frozen=True)
class ShareCard:
    """A share with its address and the lifetimes to choose from. `is_expired` says that it no longer shows anything.

    `is_local` says that the address works on this computer only, and `is_new` that it is to be copied.
    """

    share: Share
    url: str
    is_expired: bool
    is_local: bool
    is_new: bool = False
    lifetimes: Sequence[tuple[str, str]] = LIFETIMES


@dataclass(frozen=True)
class ShareList:
    """A page of shares, and the address of the next page."""

    cards: Sequence[ShareCard]
    older_url: str | None


@dataclass(frozen=True, kw_only=True)
class SharesPage(PageView):
    """All shares of the user."""

    shares: ShareList


@dataclass(frozen=True, kw_only=True)
class NewSharePage(PageView):
    """The form to share a conversation, down to `leaf` if given, with the existing shares of the conversation."""

    conversation: Conversation
    leaf: Message | None
    preview: SharePreview | None
    shares: ShareList
    default_lifetime: str = DEFAULT_LIFETIME
    lifetimes: Sequence[tuple[str, str]] = LIFETIMES


@dataclass(frozen=True)
class RevokedView:
    """The element id of a share that was revoked."""

    element_id: str


@dataclass(frozen=True)
class PublicMessage:
    """A message of a public share.

    `blocks` is empty for questions without code, `is_blank` says that nothing is seen of an answer. `model_title` is
    empty for a question.
    """

    message: shares.SharedMessage
    model_title: str = ""
    blocks: Sequence[Markup] = ()
    is_blank: bool = False


@dataclass(frozen=True)
class PublicSharePage:
    """A page of a public share. Nothing on it depends on the visitor."""

    token: str
    shared_page: SharedPage
    messages: Sequence[PublicMessage]


@dataclass(frozen=True, kw_only=True)
class ConfirmCopyPage(PageView):
    """The question whether to copy a share."""

    token: str
    title: str


def build_share_card(share: Share, *, is_new: bool = False) -> ShareCard:
    """Build the card of a share for its owner, with an address for other devices if the site has one."""
    path = url_for("public_shares.show", token=share.public_id).removeprefix(front_page())
    site_url = next(iter(shared_urls()), None)
    url = (site_url or request.host_url.rstrip("/") + front_page()) + path
    return ShareCard(share, url, shares.is_expired(share), is_local=site_url is None, is_new=is_new)


def build_share_list(page: Page[Share], conversation: Conversation | None = None) -> ShareList:
    """Build a page of the user's shares, or of the shares of `conversation`."""
    older_url = None
    if page.next and conversation:
        older_url = url_for("shares.new", public_id=conversation.public_id, before=page.next)
    elif page.next:
        older_url = url_for("shares.index", before=page.next)
    return ShareList([build_share_card(share) for share in page.items], older_url)


def build_public_page(token: str, shared_page: SharedPage) -> PublicSharePage:
    """Build a page of a public share with its answers as HTML."""
    budget = current_budget()
    titles = titles_by_model(message.model or "" for message in shared_page.messages)
    messages = [
        PublicMessage(message, titles[message.model or ""], _question_blocks(message, budget))
        if message.role is Role.USER
        else PublicMessage(
            message, titles[message.model or ""], render_blocks(message.text, budget), is_blank(message.text)
        )
        for message in shared_page.messages
    ]
    return PublicSharePage(token, shared_page, messages)


def _question_blocks(message: shares.SharedMessage, budget: RenderBudget) -> Sequence[Markup]:
    html = render_question(message.text, budget)
    return [html] if html else ()
