"""Versions: edit a question, regenerate an answer, switch between versions, fork a conversation."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from chatsite.models import Message, Role
from chatsite.services.chat import branch_copies, message_tree, messages
from chatsite.web.chat.answer_menus import MenuPage, build_regenerate_menu, requested_regeneration
from chatsite.web.chat.conversation_views import build_branch
from chatsite.web.chat.pages import load_page_from
from chatsite.web.core.htmx import htmx_headers, htmx_response
from chatsite.web.core.identity import bind_log_context, current_limits, get_message, require_user
from chatsite.web.core.page_view import PageView
from chatsite.web.core.templating import message_url, render_fragment, render_macro
from chatsite.web.models.picker import requested_choice

bp = Blueprint("versions", __name__)


@dataclass(frozen=True, kw_only=True)
class EditPage(PageView):
    """The form for another version of a question."""

    message: Message


@bp.get("/messages/<public_id>/versions")
def new(public_id: str) -> str:
    """Show the form to edit a question, or the menu to regenerate an answer: in place for htmx, or as a page.

    Raises NotFoundError, ModelNotAvailableError.
    """
    message = get_message(public_id)
    if message.role is Role.USER:
        if htmx_headers().wants_fragment:
            return render_macro("versions/_edit_form.html", "edit_form", message)
        page = EditPage(message=message)
        return render_template("versions/edit.html", view=page)
    menu = build_regenerate_menu(message)
    if htmx_headers().wants_fragment:
        return render_macro("versions/_regenerate_menu.html", "regenerate_menu", menu)
    view = MenuPage(message=message, menu=menu)
    return render_template("versions/regenerate.html", view=view)


@bp.post("/messages/<public_id>/versions")
def create(public_id: str) -> Response | str:
    """Add a new version of a question or an answer; the existing ones stay.

    Raises NotFoundError, EmptyMessageError, MessageTooLongError, AnswerRunningError,
    QueueFullError, UserQueueFullError, ModelNotAvailableError, InvalidPresetError.
    """
    message = get_message(public_id)
    first_message = _edit_question(message) if message.role is Role.USER else _regenerate_answer(message)
    return _branch_response(first_message, message, is_new=True)


@bp.put("/messages/<public_id>/active-version")
def update(public_id: str) -> Response | str:
    """Make this version active instead of the one in the form field `from`; `?direction=` is the pressed pager arrow.

    Raises NotFoundError.
    """
    replaced = get_message(request.form.get("from") or public_id)
    message = get_message(public_id)
    message_tree.show_branch(message)
    return _branch_response(message, replaced)


@bp.post("/messages/<public_id>/conversations")
def fork(public_id: str) -> Response:
    """Copy the branch that ends with this message into a new conversation, and go there.

    Raises NotFoundError, AnswerRunningError, TemporaryChatError.
    """
    message, user = get_message(public_id), require_user()
    forked = branch_copies.fork_conversation(user, message)
    url = url_for("conversations.show", public_id=forked.public_id)
    if htmx_headers().wants_fragment:
        return htmx_response("", redirect=url)
    return redirect(url, code=303)


def _edit_question(question: Message) -> Message:
    user = require_user()
    text, idempotency_key = request.form.get("text", ""), request.form.get("idempotency_key", "")
    exchange = messages.edit_question(
        user,
        question,
        messages.NewMessage(text, idempotency_key),
        limits=current_limits(),
        choice=requested_choice(question.conversation),
    )
    bind_log_context(exchange.answer)
    return exchange.question


def _regenerate_answer(answer: Message) -> Message:
    user = require_user()
    regeneration = requested_regeneration(answer)
    return messages.regenerate_answer(user, answer, limits=current_limits(), regeneration=regeneration)


def _branch_response(message: Message, replaced: Message, is_new: bool = False) -> Response | str:
    """Render the branch from `message` on, in place of `replaced`; without htmx, redirect to the message."""
    if not htmx_headers().wants_fragment:
        return redirect(message_url(message), code=303)
    view = build_branch(
        load_page_from(message.public_id),
        replaced,
        is_new=is_new,
        pressed_direction=request.args.get("direction", "next"),
    )
    return render_fragment("versions/branch.partials.html", view=view)
