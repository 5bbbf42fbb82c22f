"""Versions: another question in place of one, another answer beside one, and which of them is shown."""

from __future__ import annotations

from flask import Blueprint, Flask, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from chatsite.models import Message, Role
from chatsite.services import branches, messages, models
from chatsite.services.models import Card
from chatsite.web.access import get_message, known_models, limits, name_in_log, visitor
from chatsite.web.choosing import asked_for
from chatsite.web.fragments import address_of, fragment, sidebar
from chatsite.web.htmx import headers, make_response
from chatsite.web.reading import tail

bp = Blueprint("versions", __name__)


def init_app(app: Flask) -> None:
    """What templates need to offer versions."""
    app.jinja_env.globals.update(could_answer=could_answer)


@bp.get("/messages/<public_id>/versions")
def new(public_id: str) -> str:
    """The form for a question in other words, or for who is to answer once more: in its place, or as a page."""
    message = get_message(public_id)
    kind = "edit" if message.role is Role.USER else "again"
    if headers().wants_fragment:
        return fragment(f"versions/_{kind}.html", message=message)
    conversation = message.conversation
    return render_template(f"versions/{kind}.html", message=message, sidebar=sidebar(conversation))


@bp.post("/messages/<public_id>/versions")
def create(public_id: str) -> Response | str:
    """Ask a question in other words, or have an answer written once more; what there was stays."""
    message = get_message(public_id)
    first = _asked(message) if message.role is Role.USER else _answered(message)
    return _branch(first, message, asked=True)


@bp.put("/messages/<public_id>/shown")
def update(public_id: str) -> Response | str:
    """Show this version instead of the one named in the form's `from`; `?way=` is the arrow that was pressed."""
    replaced = get_message(request.form.get("from") or public_id)
    message = get_message(public_id)
    branches.show(message)
    return _branch(message, replaced)


@bp.post("/messages/<public_id>/conversations")
def fork(public_id: str) -> Response:
    """Go on from this message in a conversation of its own."""
    message, user = get_message(public_id), visitor()
    assert user is not None  # noqa: S101 get_message found something of theirs.
    made = branches.fork(user, message)
    address = url_for("conversations.show", public_id=made.public_id)
    if headers().wants_fragment:
        return make_response("", redirect=address)
    return redirect(address, code=303)


def could_answer() -> list[Card]:
    """The models that could answer now; asked for once a page."""
    if "could_answer" not in g:
        g.could_answer = models.choices(known_models())
    return g.could_answer  # type: ignore[no-any-return]


def _asked(question: Message) -> Message:
    user = visitor()
    assert user is not None  # noqa: S101 get_message found something of theirs.
    typed, token = request.form.get("text", ""), request.form.get("token", "")
    turn = messages.edit(user, question, typed, token, limits(), asked_for(question.conversation))
    name_in_log(turn.answer)
    return turn.question


def _answered(answer: Message) -> Message:
    user = visitor()
    assert user is not None  # noqa: S101 get_message found something of theirs.
    return messages.answer_again(user, answer, limits(), asked_for(answer.conversation))


def _branch(message: Message, replaced: Message, asked: bool = False) -> Response | str:
    """All from a message on, in place of the one that is replaced and of what follows it."""
    if not headers().wants_fragment:
        return redirect(address_of(message), code=303)
    first, window = tail(message.public_id)
    conversation = first.conversation
    return fragment(
        "versions/_branch.html",
        conversation=conversation,
        window=window,
        replaced=replaced,
        asked=asked,
        turn=request.args.get("way", "next"),
        sidebar=sidebar(conversation),
    )
