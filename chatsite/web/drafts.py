"""What is being typed: kept while one types, and told how much room it will take."""

from __future__ import annotations

from flask import Blueprint, Flask, request
from werkzeug.wrappers import Response

from chatsite.models import Conversation, User
from chatsite.services import drafts, receipts
from chatsite.web.access import get_conversation, limits, visitor
from chatsite.web.fragments import fragment
from chatsite.web.htmx import make_response

bp = Blueprint("drafts", __name__)


def init_app(app: Flask) -> None:
    """What templates need to show what was typed before."""
    chars = app.config["MESSAGE_CHARS"]
    app.jinja_env.globals.update(draft_of=draft_of, edition=drafts.edition, message_chars=lambda: chars)


@bp.put("/draft")
def create() -> Response | str:
    """Keep what is typed into a conversation that has not begun.

    Of somebody who never wrote nothing is stored, and nothing of a conversation that is to be temporary.
    """
    user = visitor()
    if user is None or request.form.get("temporary") == "1":
        return make_response("", 204)
    return fragment("drafts/_kept.html", known=_save(user))


@bp.put("/conversations/<public_id>/draft")
def update(public_id: str) -> str:
    """Keep what is typed into a conversation; the answer tells how full the window will be with it."""
    conversation = get_conversation(public_id)
    known = _save(conversation)
    view = receipts.outlook(conversation, len(request.form.get("text", "")))
    return fragment("drafts/_weighed.html", conversation=conversation, known=known, view=view)


def draft_of(conversation: Conversation | None) -> str:
    """What was typed last and not sent, there or into a conversation that has not begun."""
    return drafts.of(conversation or visitor())


def _save(owner: Conversation | User) -> str:
    form = request.form
    typed, known, token = (form.get(name, "") for name in ("text", "known", "token"))
    return drafts.save(owner, typed, known, token, limits().message_chars)
