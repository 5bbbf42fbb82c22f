"""Personas: saved chat settings with a name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flask import Blueprint, redirect, render_template, request, url_for
from flask_babel import gettext
from werkzeug.wrappers import Response

from chatsite.errors import ChatsiteError
from chatsite.i18n import translate_error
from chatsite.models import Persona
from chatsite.services.models import catalog, choice
from chatsite.services.models.catalog import ModelCard
from chatsite.services.models.choice import ModelChoice
from chatsite.services.personas import personas
from chatsite.services.personas.personas import BuiltInPersona
from chatsite.web.core.identity import catalog_config, current_user, get_conversation, get_or_create_user
from chatsite.web.core.page_view import PageView, ParentLink
from chatsite.web.core.undo_responses import undo_response
from chatsite.web.models.picker import titles_by_model
from chatsite.web.models.settings_form import (
    SettingsFields,
    SettingsForm,
    build_settings_fields,
    fill_form,
    persona_settings,
    read_form,
    validate_form,
)
from chatsite.web.models.views import find_next_model

bp = Blueprint("personas", __name__)


@dataclass(frozen=True, kw_only=True)
class PersonasPage(PageView):
    """The user's personas with the titles of their models, and the built-in ones."""

    own_personas: Sequence[Persona]
    built_in_personas: Sequence[BuiltInPersona]
    titles_by_model: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class PersonaFormPage(PageView):
    """The form for a persona. `persona` is None for a new one; `error_message` says why values were rejected."""

    persona: Persona | None
    fields: SettingsFields
    error_message: str
    available_cards: Sequence[ModelCard]


@bp.get("/personas")
def index() -> str:
    """List the user's personas, and the built-in ones for the default model."""
    default = catalog.get_card(catalog_config(), catalog.default_name(catalog_config()))
    own_personas = personas.list_for(current_user())
    view = PersonasPage(
        own_personas=own_personas,
        built_in_personas=personas.list_built_in(default.entry.family),
        titles_by_model=titles_by_model(persona.model or "" for persona in own_personas),
    )
    return render_template("personas/index.html", view=view)


@bp.get("/personas/new")
def new() -> str:
    """Show the form for a new persona, filled from the persona `?persona=` if given. Raises PersonaNotFoundError."""
    persona_id = request.args.get("persona")
    template = personas.get_any(current_user(), persona_id) if persona_id else None
    return _render_form(None, fill_form(persona_settings(template)) if template else SettingsForm())


@bp.post("/personas")
def create() -> Response | tuple[str, int]:
    """Create a persona from the submitted form.

    The form may be the settings of a `conversation`, whose model choice is then kept with the persona. Invalid values
    show the form again with the error. Raises ConversationNotFoundError.
    """
    form, conversation_id = read_form(), request.form.get("conversation")
    conversation = get_conversation(conversation_id) if conversation_id else None
    try:
        model_choice = ModelChoice(conversation.model, conversation.preset) if conversation else _requested_model(form)
        settings = validate_form(form, find_next_model(conversation) if conversation else None)
        personas.validate(settings)
        personas.create(get_or_create_user(), settings, model_choice)
    except ChatsiteError as error:
        return _render_form(None, form, translate_error(error)), error.status
    return redirect(url_for("personas.index"), code=303)


@bp.get("/personas/<public_id>")
def edit(public_id: str) -> str:
    """Show the form for a persona. Raises PersonaNotFoundError."""
    persona = personas.get_own(current_user(), public_id)
    return _render_form(persona, fill_form(persona_settings(persona), persona.model or ""))


@bp.patch("/personas/<public_id>")
def update(public_id: str) -> Response | tuple[str, int]:
    """Store the submitted settings of a persona. Raises PersonaNotFoundError.

    Invalid values show the form again with the error.
    """
    persona, form = personas.get_own(current_user(), public_id), read_form()
    try:
        personas.update(persona, validate_form(form, None), _requested_model(form))
    except ChatsiteError as error:
        return _render_form(personas.get_own(current_user(), public_id), form, translate_error(error)), error.status
    return redirect(url_for("personas.index"), code=303)


@bp.delete("/personas/<public_id>")
def destroy(public_id: str) -> Response:
    """Delete a persona. Raises PersonaNotFoundError."""
    undo = personas.delete_persona(personas.get_own(current_user(), public_id))
    return undo_response(undo, url_for("personas.index"))


def _requested_model(form: SettingsForm) -> ModelChoice:
    """Return the model choice in the form; an empty one if no model was selected. Raises ModelNotAvailableError."""
    return choice.validate(catalog_config(), form.model, None) if form.model else ModelChoice()


def _render_form(persona: Persona | None, form: SettingsForm, error_text: str = "") -> str:
    view = PersonaFormPage(
        persona=persona,
        fields=build_settings_fields(form, None),
        error_message=error_text,
        available_cards=catalog.list_available(catalog_config()),
        parent=_personas_link(),
    )
    return render_template("personas/edit.html", view=view)


def _personas_link() -> ParentLink:
    return ParentLink(url_for("personas.index"), gettext("Personas"))
