"""Personas: settings with a name, to begin conversations with."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from chatsite.errors import ChatsiteError
from chatsite.models import Persona
from chatsite.services import answerers, models, personas
from chatsite.services.answerers import Answerer
from chatsite.web.access import get_conversation, known_models, visitor, visitor_who_writes
from chatsite.web.errors import say
from chatsite.web.fragments import sidebar
from chatsite.web.wishes import Typed, checked, of_persona, shown, typed, who_answers

bp = Blueprint("personas", __name__)


@bp.get("/personas")
def index() -> str:
    """The personas that the visitor keeps, and those that come with the site."""
    default = models.get(known_models(), models.default(known_models()))
    built_in = personas.built_in(default.entry.family)
    return render_template("personas/index.html", mine=personas.mine(visitor()), built_in=built_in, sidebar=sidebar())


@bp.get("/personas/new")
def new() -> str:
    """The form for another one; `?persona=` names one to begin with."""
    name = request.args.get("persona")
    begun = personas.find(visitor(), name) if name else None
    return _page(None, shown(of_persona(begun)) if begun else Typed())


@bp.post("/personas")
def create() -> Response | tuple[str, int]:
    """Keep what was typed, here or into the settings of a conversation, which say who answers, too."""
    form, named = typed(), request.form.get("conversation")
    conversation = get_conversation(named) if named else None
    try:
        answerer = Answerer(conversation.model, conversation.preset) if conversation else _answerer(form)
        wishes = checked(form, who_answers(conversation) if conversation else None)
        personas.require(wishes)
        personas.create(visitor_who_writes(), wishes, answerer)
    except ChatsiteError as error:
        return _page(None, form, say(error)), error.status
    return redirect(url_for("personas.index"), code=303)


@bp.get("/personas/<public_id>")
def edit(public_id: str) -> str:
    """The form with what is kept."""
    persona = personas.get(visitor(), public_id)
    return _page(persona, shown(of_persona(persona), persona.model or ""))


@bp.patch("/personas/<public_id>")
def update(public_id: str) -> Response | tuple[str, int]:
    """Keep other settings in its place."""
    persona, form = personas.get(visitor(), public_id), typed()
    try:
        personas.update(persona, checked(form, None), _answerer(form))
    except ChatsiteError as error:
        return _page(personas.get(visitor(), public_id), form, say(error)), error.status
    return redirect(url_for("personas.index"), code=303)


@bp.get("/personas/<public_id>/deletion")
def confirm(public_id: str) -> str:
    """Ask whether it is to be deleted."""
    persona = personas.get(visitor(), public_id)
    return render_template("personas/confirm.html", persona=persona, sidebar=sidebar())


@bp.delete("/personas/<public_id>")
def destroy(public_id: str) -> Response:
    """Delete it."""
    personas.destroy(personas.get(visitor(), public_id))
    return redirect(url_for("personas.index"), code=303)


def _answerer(form: Typed) -> Answerer:
    """Who is to answer; nobody in particular where no model was chosen. Raises what `answerers.check` raises."""
    return answerers.check(known_models(), form.model, None) if form.model else Answerer()


def _page(persona: Persona | None, form: Typed, complaint: str = "") -> str:
    offered = models.choices(known_models())
    return render_template(
        "personas/edit.html", persona=persona, typed=form, complaint=complaint, offered=offered, sidebar=sidebar()
    )
