"""Conversations: the front page, the list, one conversation, its title, and moving it to the trash."""

from __future__ import annotations

from functools import partial

from flask import Blueprint, redirect, render_template, request, url_for
from flask_babel import gettext
from werkzeug.wrappers import Response

from chatsite import cookies
from chatsite.i18n import format_list_heading
from chatsite.models import Conversation
from chatsite.services.chat import conversations, message_pages, messages, read_marks
from chatsite.services.organize import tags, trash
from chatsite.services.pagination import Page, decode_cursor
from chatsite.web.chat.conversation_views import (
    ConversationsPage,
    RowsUpdate,
    TitleForm,
    build_conversation_page,
    build_page_beside,
    build_refresh,
)
from chatsite.web.chat.pages import find_requested_message, load_requested_page
from chatsite.web.chat.welcome_views import build_new_page
from chatsite.web.core.htmx import htmx_headers, htmx_response
from chatsite.web.core.identity import current_user, ensure_pending_token, get_conversation, require_user
from chatsite.web.core.open_conversation import find_open_conversation, open_conversation_id
from chatsite.web.core.page_view import PageView, build_sidebar, sidebar_size, writing_conversations
from chatsite.web.core.templating import message_url, render_fragment, render_macro
from chatsite.web.core.undo_responses import undo_response

bp = Blueprint("conversations", __name__)

# The rows of one page of the list; more than in the sidebar, because bulk actions need many rows at once.
INDEX_PAGE_SIZE = 100

# The template of one more message page, by the query parameter that asks for it.
FRAGMENT_BY_DIRECTION = {"before": "messages/page_before.partials.html", "after": "messages/page_after.partials.html"}


@bp.get("/")
def new() -> str:
    """Show the front page, where a conversation starts."""
    ensure_pending_token()
    # A starter is a link with its text, so that it works without JavaScript and can be edited before it is sent.
    starter_text = request.args.get("text", "")
    return render_template("conversations/new.html", view=build_new_page(starter_text))


@bp.get("/conversations")
def index() -> Response | str:
    """Show the list of conversations: rows for the sidebar, or a page with checkboxes for bulk actions.

    htmx gets the rows after the cursor `?before=`, or status 204 if there are none. `?rows=` is the number of rows that
    the sidebar has; a request without cursor returns as many again. `?writing=` are the conversations whose answers and
    titles are being written as far as the sidebar knows; status 204 if it is still so, and otherwise the title of the
    open conversation comes too.

    Raises NotFoundError for a malformed cursor.
    """
    before, rows = request.args.get("before"), request.args.get("rows", 0, type=int)
    if not htmx_headers().wants_fragment:
        return _render_index(before)
    if "writing" in request.args and request.args["writing"] == writing_conversations():
        return htmx_response("", 204)
    user = current_user()
    size = conversations.PAGE_SIZE if before else sidebar_size()
    page: Page[Conversation] = conversations.list_page(user, before, size)
    if before and not page.items:
        return htmx_response("", 204)
    current = request.args.get("current") or open_conversation_id()
    sidebar = build_sidebar(page, current, rows_before=rows if before else 0, previous_heading=_list_heading(before))
    opened = find_open_conversation() if "writing" in request.args else None
    view = RowsUpdate(sidebar, opened)
    response = htmx_response(render_fragment("conversations/rows.partials.html", view=view))
    if before:
        cookies.set_cookie(response, cookies.ROWS, str(sidebar.row_count), max_age=None)
    return response


@bp.get("/conversations/<public_id>")
def show(public_id: str) -> Response | str:
    """Show a conversation at its end, at a message (`?message=`) or at a day (`?date=`).

    htmx asks for the message page before or after the ones it has (`?before=`, `?after=`), and for news in an inactive
    tab (`?parent=`, the last message that the tab has). Raises ConversationNotFoundError, InvalidDateError, and
    NotFoundError for an unknown message.
    """
    conversation = get_conversation(public_id)
    last_known_id = request.args.get("parent")
    if last_known_id is not None and htmx_headers().wants_fragment:
        return _render_refresh(conversation, last_known_id) if last_known_id else htmx_response("", 204)
    if target := find_requested_message(conversation):
        return redirect(message_url(target), code=303)
    message_page = load_requested_page(conversation)
    for direction in ("before", "after"):
        if direction in request.args and htmx_headers().wants_fragment:
            return render_fragment(FRAGMENT_BY_DIRECTION[direction], view=build_page_beside(conversation, message_page))
    return render_template("conversations/show.html", view=build_conversation_page(conversation, message_page))


@bp.get("/conversations/<public_id>/row")
def row(public_id: str) -> Response | str:
    """Render the row of a conversation in the sidebar, to replace a canceled form; without htmx, redirect to it.

    Raises ConversationNotFoundError.
    """
    conversation = get_conversation(public_id)
    if htmx_headers().wants_fragment:
        return render_macro(
            "conversations/_row.html",
            "conversation_row",
            conversation,
            tags.group_by_conversation([conversation]).get(conversation.id, ()),
            read_marks.load_marks([conversation]),
            is_current=public_id == open_conversation_id(),
            has_focus=True,
        )
    return redirect(url_for("conversations.show", public_id=conversation.public_id), code=303)


@bp.get("/conversations/<public_id>/title")
def edit(public_id: str) -> str:
    """Show the form to rename a conversation: in place of its row for htmx, or as a page.

    With `?place=topbar` htmx gets the form over the title, and with `?place=topbar-link` what a canceled form covered.
    Raises ConversationNotFoundError.
    """
    conversation = get_conversation(public_id)
    place = request.args.get("place")
    if htmx_headers().wants_fragment and place == "topbar":
        return render_macro("conversations/_rename_form.html", "rename_form", conversation)
    if htmx_headers().wants_fragment and place == "topbar-link":
        return render_macro("conversations/_rename_link.html", "rename_link", conversation, has_focus=True)
    if htmx_headers().wants_fragment:
        return render_template("conversations/_edit.html", view=TitleForm(conversation))
    view = PageView(conversation=conversation)
    return render_template("conversations/edit.html", view=view)


@bp.patch("/conversations/<public_id>/title")
def update(public_id: str) -> Response:
    """Rename a conversation. Raises EmptyTitleError, TitleTooLongError, ConversationNotFoundError."""
    undo = conversations.rename(get_conversation(public_id), request.form.get("text", ""))
    return undo_response(undo, url_for("conversations.show", public_id=public_id))


@bp.delete("/conversations/<public_id>")
def destroy(public_id: str) -> Response:
    """Move a conversation to the trash; a page that shows it is redirected to the front page.

    Raises ConversationNotFoundError.
    """
    get_conversation(public_id)
    return undo_response(trash.move_to_trash(require_user(), [public_id]), url_for("conversations.new"))


def _render_refresh(conversation: Conversation, last_known_id: str) -> str:
    """Render the changes since the message `last_known_id`. Raises NotFoundError.

    `?streaming=` lists the answers whose streams the page follows; these are left out.
    """
    last_known = messages.get(current_user(), last_known_id)
    is_streaming = last_known.is_in_progress and last_known.public_id in request.args.getlist("streaming")
    new_messages = message_pages.messages_after(conversation, last_known_id)
    view = build_refresh(conversation, None if is_streaming else last_known, new_messages)
    return render_fragment("messages/refresh.partials.html", view=view)


def _render_index(before: str | None) -> str:
    """Render the list as a page, filtered by the tag `?tag=` if given.

    Raises NotFoundError for an unknown tag or a malformed cursor.
    """
    user, tag_id = current_user(), request.args.get("tag")
    tag = tags.get(user, tag_id) if tag_id else None
    load_page = partial(conversations.list_tagged, user, tag) if tag else partial(conversations.list_page, user)
    page = load_page(before, size=INDEX_PAGE_SIZE)
    all_tags = tags.list_for(user)
    tags_by_conversation = tags.group_by_conversation(page.items)
    view = ConversationsPage(page=page, active_tag=tag, tags=all_tags, tags_by_conversation=tags_by_conversation)
    return render_template("conversations/index.html", view=view)


def _list_heading(cursor: str | None) -> str:
    """Return the heading of the row at `cursor`, so that the rows after it do not repeat the heading."""
    if not cursor:
        return ""
    return (
        gettext("Pinned")
        if cursor.startswith(conversations.PINNED_CURSOR_PREFIX)
        else format_list_heading(decode_cursor(cursor)[0])
    )
