"""The settings of a conversation: what its model is told, and the numbers by which it writes."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, url_for
from werkzeug.wrappers import Response

from chatsite.errors import ChatsiteError
from chatsite.models import Conversation
from chatsite.services import personas, settings
from chatsite.web.access import get_conversation, visitor
from chatsite.web.errors import say
from chatsite.web.fragments import sidebar
from chatsite.web.wishes import Typed, asked_for, checked, of_persona, shown, typed, who_answers

bp = Blueprint("settings", __name__)


@bp.get("/conversations/<public_id>/settings")
def show(public_id: str) -> str:
    """The form with what holds now, or with what a persona (`?persona=`) would set."""
    conversation = get_conversation(public_id)
    persona = asked_for()
    return _page(conversation, shown(of_persona(persona) if persona else settings.of(conversation)))


@bp.patch("/conversations/<public_id>/settings")
def update(public_id: str) -> Response | tuple[str, int]:
    """Have what was typed hold from the next answer on."""
    conversation = get_conversation(public_id)
    form = typed()
    try:
        wishes = checked(form, who_answers(conversation))
    except ChatsiteError as error:
        return _page(conversation, form, say(error)), error.status
    settings.change(conversation, wishes)
    return redirect(url_for("conversations.show", public_id=conversation.public_id), code=303)


def _page(conversation: Conversation, form: Typed, complaint: str = "") -> str:
    card = who_answers(conversation)
    return render_template(
        "settings/show.html",
        conversation=conversation,
        typed=form,
        complaint=complaint,
        card=card,
        built_in=personas.built_in(card.entry.family if card else ""),
        mine=personas.mine(visitor()),
        sidebar=sidebar(conversation),
    )
