"""Messages: ask, try again, go on, copy."""

from __future__ import annotations

from flask import Blueprint, Response, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from chatsite.models import Role
from chatsite.rendering.text import title
from chatsite.services import answerers, generations, messages, windows
from chatsite.services.messages import Turn
from chatsite.web.access import (
    get_conversation,
    get_message,
    known_models,
    limits,
    name_in_log,
    visitor,
    visitor_who_writes,
)
from chatsite.web.choosing import all_asked_for, wishes_asked_for
from chatsite.web.fragments import address_of, fragment, settled, sidebar
from chatsite.web.htmx import headers, make_response

bp = Blueprint("messages", __name__)


@bp.post("/messages")
def create() -> AnyResponse:
    """Ask a question, in the conversation named in the form or in a new one.

    htmx gets all messages that come after the form's `after`, the one a stale tab knows last.
    """
    named = request.form.get("conversation")
    turn = _post(named) if named else _start()
    name_in_log(turn.answer)
    conversation = turn.conversation
    address = url_for("conversations.show", public_id=conversation.public_id)
    if not headers().wants_fragment:
        return redirect(address, code=303)
    body = fragment(
        "messages/_turn.html",
        conversation=conversation,
        messages=windows.since(conversation, request.form.get("after")),
        sidebar=sidebar(conversation),
        first=not named,
    )
    return make_response(body, push_url=None if named else address)


@bp.post("/messages/<public_id>/generations")
def regenerate(public_id: str) -> AnyResponse | str:
    """Try a failed answer again (`mode=retry`) or go on with one that was cut (`mode=continue`)."""
    message = get_message(public_id)
    keep_text = request.form.get("mode") == "continue"
    answerer = answerers.again(known_models(), message, keep_text)
    generations.repeat(message, keep_text, limits(), answerer)
    return settled(public_id)


@bp.post("/messages/<public_id>/haste")
def hasten(public_id: str) -> AnyResponse | str:
    """Have an answer that is being weighed written the quick way."""
    generations.hasten(get_message(public_id))
    return settled(public_id, followed=True)


@bp.get("/messages/<public_id>")
def show(public_id: str) -> AnyResponse | str:
    """The message as it stands now, to take its own place; without htmx it is read in its conversation.

    This is the address of a message for those who link to it: it finds every version, without showing it for good.
    """
    message = get_message(public_id)
    if not headers().wants_fragment:
        return redirect(address_of(message), code=303)
    if message.role is Role.USER:
        return fragment("messages/_message.html", message=message, focus="edit")
    return settled(public_id)


@bp.get("/messages/<public_id>/text")
def text(public_id: str) -> Response:
    """The text as it was written, to be copied."""
    return Response(get_message(public_id).text, mimetype="text/plain")


def _start() -> Turn:
    typed = request.form.get("text", "")
    messages.check(typed, limits().message_chars)
    answerer, *rivals = all_asked_for(None)
    wishes = wishes_asked_for(answerer)
    user, token, temporary = visitor_who_writes(), request.form.get("token", ""), request.form.get("temporary") == "1"
    return messages.start(user, typed, token, title(typed), limits(), answerer, wishes, rivals, _known(), temporary)


def _post(named: str) -> Turn:
    conversation = get_conversation(named)
    user = visitor()
    assert user is not None  # noqa: S101 get_conversation found something of theirs.
    typed, token = request.form.get("text", ""), request.form.get("token", "")
    after = request.form.get("after")
    answerer, *rivals = all_asked_for(conversation)
    return messages.post(user, conversation, typed, token, limits(), answerer, after, rivals, _known())


def _known() -> str:
    """The edition of the draft that the form was filled with."""
    return request.form.get("known", "")
