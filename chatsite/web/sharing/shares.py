"""Shares of a user: create, update, limit and revoke them."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from chatsite.errors import NotFoundError
from chatsite.models import Conversation, Message, Share
from chatsite.services.pagination import Page
from chatsite.services.sharing import shares
from chatsite.web.core.htmx import htmx_headers
from chatsite.web.core.identity import current_user, get_conversation, get_message, get_share
from chatsite.web.core.templating import dom_id
from chatsite.web.sharing.views import NewSharePage, RevokedView, SharesPage, build_share_card, build_share_list

bp = Blueprint("shares", __name__)


@bp.get("/shares")
def index() -> str:
    """List all shares of the user. Raises NotFoundError for a malformed cursor `?before=`."""
    return render_template("shares/index.html", view=SharesPage(shares=build_share_list(_share_page(None))))


@bp.get("/conversations/<public_id>/shares")
def new(public_id: str) -> str:
    """Show the form to share a conversation, and its existing shares.

    `?leaf=` is the last message of another branch to share. Raises ConversationNotFoundError, NotFoundError.
    """
    conversation = get_conversation(public_id)
    leaf = _requested_leaf(conversation, request.args.get("leaf"))
    view = NewSharePage(
        conversation=conversation,
        leaf=leaf,
        preview=shares.preview(conversation, leaf),
        shares=build_share_list(_share_page(conversation), conversation),
    )
    return render_template("shares/new.html", view=view)


@bp.post("/conversations/<public_id>/shares")
def create(public_id: str) -> Response | str:
    """Share a conversation, or its branch down to the message in the form field `leaf`.

    Raises ConversationNotFoundError, NotFoundError, InvalidLifetimeError, TemporaryChatError, ShareAnswerRunningError,
    NothingToShareError.
    """
    conversation = get_conversation(public_id)
    leaf = _requested_leaf(conversation, request.form.get("leaf"))
    share = shares.create(conversation, request.form.get("lifetime", ""), leaf)
    if htmx_headers().wants_fragment:
        return render_template("shares/created.partials.html", view=build_share_card(share, is_new=True))
    return _redirect_to_list(share)


@bp.get("/shares/<public_id>")
def show(public_id: str) -> Response:
    """Redirect to a share in the list of its conversation. Raises NotFoundError."""
    return _redirect_to_list(get_share(public_id))


@bp.put("/shares/<public_id>/snapshot")
def update_snapshot(public_id: str) -> Response | str:
    """Update a share to the current state of its conversation.

    Raises NotFoundError, ConversationNotFoundError, TemporaryChatError, ShareAnswerRunningError, NothingToShareError.
    """
    return _updated_response(shares.refresh_snapshot(get_share(public_id)))


@bp.patch("/shares/<public_id>")
def update(public_id: str) -> Response | str:
    """Set the lifetime of a share. Raises NotFoundError, InvalidLifetimeError."""
    return _updated_response(shares.set_lifetime(get_share(public_id), request.form.get("lifetime", "")))


@bp.delete("/shares/<public_id>")
def destroy(public_id: str) -> Response | str:
    """Revoke a share. Raises NotFoundError."""
    share = get_share(public_id)
    element_id, conversation = dom_id(share), share.conversation.public_id
    shares.revoke(share)
    if htmx_headers().wants_fragment:
        return render_template("shares/revoked.partials.html", view=RevokedView(element_id))
    return redirect(url_for("shares.new", public_id=conversation), code=303)


def _updated_response(share: Share) -> Response | str:
    if htmx_headers().wants_fragment:
        return render_template("shares/updated.partials.html", view=build_share_card(share))
    return _redirect_to_list(share)


def _redirect_to_list(share: Share) -> Response:
    url = url_for("shares.new", public_id=share.conversation.public_id, _anchor=dom_id(share))
    return redirect(url, code=303)


def _share_page(conversation: Conversation | None) -> Page[Share]:
    user = current_user()
    return shares.list_page(user, request.args.get("before"), conversation)


def _requested_leaf(conversation: Conversation, public_id: str | None) -> Message | None:
    """Return the message of this conversation with which a share ends; None for the end of the active branch.

    Raises NotFoundError for an unknown message or one of another conversation.
    """
    leaf = get_message(public_id) if public_id else None
    if leaf and leaf.conversation_id != conversation.id:
        raise NotFoundError
    return leaf
