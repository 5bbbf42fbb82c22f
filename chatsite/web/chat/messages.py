"""Messages: post, retry, continue and copy them."""

from __future__ import annotations

from flask import Blueprint, Response, current_app, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from chatsite.models import Role, WaitingMessage
from chatsite.rendering.titles import title_from_question
from chatsite.services.chat import (
    message_pages,
    messages,
    reruns,
    waiting_messages,
)
from chatsite.services.chat.messages import Exchange
from chatsite.services.models import catalog, choice
from chatsite.services.models.choice import ModelChoice
from chatsite.web.chat.conversation_views import build_posted_update, build_waiting_update
from chatsite.web.chat.message_views import build_message_view
from chatsite.web.chat.pages import render_finished_message
from chatsite.web.core.htmx import htmx_headers, htmx_response
from chatsite.web.core.identity import (
    bind_log_context,
    catalog_config,
    current_limits,
    get_conversation,
    get_message,
    get_or_create_user,
    require_user,
)
from chatsite.web.core.templating import message_url, render_fragment, render_macro
from chatsite.web.models.picker import requested_choices, requested_settings

bp = Blueprint("messages", __name__)


@bp.post("/messages")
def create() -> AnyResponse:
    """Post a question to the conversation named in the form, or to a new one; it waits for an answer in progress.

    htmx gets all messages after the form's `parent`, the last message that the page has. Raises EmptyMessageError,
    MessageTooLongError, QueueFullError, UserQueueFullError, TooFewModelsError,
    ModelNotAvailableError, InvalidPresetError; for an existing conversation also ConversationNotFoundError, and
    AnswerRunningError if another branch has an answer in progress, for a new one PersonaNotFoundError and
    InstructionsTooLargeForContextError.
    """
    conversation_id = request.form.get("conversation")
    posted = _post_message(conversation_id) if conversation_id else _start_conversation()
    if isinstance(posted, WaitingMessage):
        conversation, answer = get_conversation(conversation_id or ""), messages.get_by_id(posted.parent_id)
    else:
        conversation, answer = posted.conversation, posted.answer
    bind_log_context(answer)
    url = url_for("conversations.show", public_id=conversation.public_id)
    if not htmx_headers().wants_fragment:
        return redirect(url, code=303)
    new_messages = message_pages.messages_after(conversation, request.form.get("parent"))
    view = (
        build_waiting_update(conversation, new_messages, answer)
        if isinstance(posted, WaitingMessage)
        else build_posted_update(conversation, new_messages, is_first=not conversation_id)
    )
    body = render_fragment("messages/create.partials.html", view=view)
    return htmx_response(body, push_url=None if conversation_id else url)


@bp.post("/messages/<public_id>/generations")
def regenerate(public_id: str) -> AnyResponse | str:
    """Retry a failed answer (`mode=retry`), or continue a truncated one (`mode=continue`).

    With `mode=fast` an answer in beam search is sampled instead. Raises NotFoundError, CannotRerunError,
    QueueFullError, UserQueueFullError, ModelNotAvailableError, InvalidPresetError.
    """
    message, mode = get_message(public_id), request.form.get("mode")
    if mode == "fast":
        reruns.switch_to_fast(message)
        return render_finished_message(public_id, is_followed=True)
    keep_text = mode == "continue"
    model_choice = choice.get_for_rerun(catalog_config(), message, keep_text)
    reruns.queue(message, keep_text, current_limits(), choice=model_choice)
    return render_finished_message(public_id)


@bp.get("/messages/<public_id>")
def show(public_id: str) -> AnyResponse | str:
    """Render a message in its current state, to replace its own element; without htmx, redirect to its conversation.

    This is the permanent address of a message. It finds every version, without making that version active. Raises
    NotFoundError.
    """
    message = get_message(public_id)
    if not htmx_headers().wants_fragment:
        return redirect(message_url(message), code=303)
    if message.role is Role.USER:
        return render_macro(
            "messages/_message.html", "message_article", build_message_view(message, has_edit_focus=True)
        )
    return render_finished_message(public_id)


@bp.get("/messages/<public_id>/text")
def text(public_id: str) -> Response:
    """Return the Markdown source of a message as plain text, for the Copy button. Raises NotFoundError."""
    return Response(get_message(public_id).text, mimetype="text/plain")


def _start_conversation() -> Exchange:
    question = request.form.get("text", "")
    messages.normalize_text(question, current_limits().max_message_chars)
    model_choice, *other_choices = requested_choices(None)
    settings = requested_settings(model_choice)
    user, idempotency_key, is_temporary = (
        get_or_create_user(),
        request.form.get("idempotency_key", ""),
        request.form.get("temporary") == "1",
    )
    return messages.start_conversation(
        user,
        messages.NewConversation(
            title_from_question(question),
            settings=settings,
            is_temporary=is_temporary,
            wants_model_title=_wants_model_title(model_choice),
        ),
        messages.NewMessage(question, idempotency_key, draft_version=_draft_version(), compare_with=other_choices),
        limits=current_limits(),
        choice=model_choice,
    )


def _wants_model_title(model_choice: ModelChoice) -> bool:
    is_on: bool = current_app.config["MODEL_TITLES"]
    return is_on and catalog.can_write_titles(catalog_config(), model_choice.model)


def _post_message(conversation_id: str) -> Exchange | WaitingMessage:
    conversation = get_conversation(conversation_id)
    user = require_user()
    question, idempotency_key = request.form.get("text", ""), request.form.get("idempotency_key", "")
    parent_id = request.form.get("parent")
    model_choice, *other_choices = requested_choices(conversation)
    return waiting_messages.post_or_wait(
        user,
        conversation,
        messages.NewMessage(
            question, idempotency_key, draft_version=_draft_version(), parent_id=parent_id, compare_with=other_choices
        ),
        limits=current_limits(),
        choice=model_choice,
    )


def _draft_version() -> str:
    """Return the version of the draft that the submitted form was filled with."""
    return request.form.get("draft_version", "")
