"""Who answers in a conversation, and in what manner: offered in the composer's foot."""

from __future__ import annotations

from flask import Blueprint, redirect, request, url_for
from werkzeug.wrappers import Response

from chatsite.services import answerers, receipts, windows
from chatsite.web.access import get_conversation
from chatsite.web.choosing import asked_for
from chatsite.web.fragments import fragment
from chatsite.web.htmx import headers

bp = Blueprint("answerers", __name__)


@bp.get("/answerer")
def show() -> Response | str:
    """What a new conversation offers once `?model=` and `?preset=` are chosen; without htmx, the front page."""
    answerer = asked_for(None)
    if headers().wants_fragment:
        return fragment("conversations/_answerer_chosen.html", conversation=None)
    persona = request.args.get("persona") or None
    address = url_for("conversations.new", model=answerer.model, preset=answerer.preset, persona=persona)
    return redirect(address, code=303)


@bp.patch("/conversations/<public_id>/answerer")
def update(public_id: str) -> Response | str:
    """Have another model answer from here on, or in another manner."""
    conversation = get_conversation(public_id)
    conversation = answerers.choose(conversation, asked_for(conversation))
    if not headers().wants_fragment:
        return redirect(url_for("conversations.show", public_id=conversation.public_id), code=303)
    newest = windows.until(conversation, size=1).messages
    return fragment(
        "conversations/_answerer_chosen.html",
        conversation=conversation,
        last=newest[-1] if newest else None,
        view=receipts.outlook(conversation),
    )
