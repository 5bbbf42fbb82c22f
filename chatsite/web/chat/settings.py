"""Chat settings: the form for the instructions and generation options of a conversation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask import Blueprint, current_app, redirect, render_template, request, url_for
from flask_babel import gettext
from werkzeug.wrappers import Response

from chatsite.errors import ChatsiteError, NotFoundError
from chatsite.i18n import translate_error
from chatsite.models import Conversation, Message, Role
from chatsite.services.chat import chat_settings, messages
from chatsite.services.chat.default_options import find_default_options
from chatsite.services.models import choice
from chatsite.services.models.catalog import ModelCard
from chatsite.services.personas import personas
from chatsite.web.core.identity import (
    catalog_config,
    current_limits,
    current_user,
    get_conversation,
    require_user,
)
from chatsite.web.core.page_view import PageView
from chatsite.web.core.undo_responses import saved_response
from chatsite.web.models.settings_form import (
    SettingsFields,
    SettingsForm,
    build_settings_fields,
    fill_form,
    persona_settings,
    read_form,
    requested_persona,
    validate_form,
)
from chatsite.web.models.views import find_next_model

bp = Blueprint("settings", __name__)


@dataclass(frozen=True)
class PersonaLink:
    """A link that fills the settings form from a persona."""

    public_id: str
    name: str
    is_selected: bool


@dataclass(frozen=True, kw_only=True)
class SettingsPage(PageView):
    """The settings form of a conversation. `error_message` says why the submitted values were rejected, or is empty.

    With `can_answer_again` the last answer can be written once more with the settings of the form.
    """

    conversation: Conversation
    fields: SettingsFields
    personas: Sequence[PersonaLink]
    can_answer_again: bool
    error_message: str


@bp.get("/conversations/<public_id>/settings")
def show(public_id: str) -> str:
    """Show the settings form with the current values, or with the values of a persona (`?persona=`).

    Raises ConversationNotFoundError, PersonaNotFoundError.
    """
    conversation = get_conversation(public_id)
    persona = requested_persona()
    return _render_form(
        conversation, fill_form(persona_settings(persona) if persona else chat_settings.read_from(conversation))
    )


@bp.patch("/conversations/<public_id>/settings")
def update(public_id: str) -> Response | tuple[str, int]:
    """Store the submitted settings, which apply from the next answer on. Raises ConversationNotFoundError.

    Invalid values show the form again with the error and its status.
    """
    conversation = get_conversation(public_id)
    form = read_form()
    try:
        new_settings = validate_form(form, find_next_model(conversation))
    except ChatsiteError as error:
        return _render_form(conversation, form, translate_error(error)), error.status
    chat_settings.update(conversation, new_settings)
    url = url_for("conversations.show", public_id=conversation.public_id)
    return saved_response(gettext("Chat settings saved. They apply from the next answer."), url)


@bp.post("/conversations/<public_id>/settings/answers")
def create_answer(public_id: str) -> Response | tuple[str, int]:
    """Store the submitted settings, and write the last answer once more with them, as another version.

    Raises ConversationNotFoundError. If the settings are invalid, or the answer cannot be queued, shows the form again
    with the error and its status.
    """
    conversation, user = get_conversation(public_id), require_user()
    form = read_form()
    try:
        new_settings = validate_form(form, find_next_model(conversation))
        answer = _find_last_answer(conversation)
        if answer is None:
            raise NotFoundError
        model_choice = choice.get_for_next_answer(catalog_config(), conversation)
        conversation = chat_settings.update(conversation, new_settings)
        regeneration = messages.Regeneration(model_choice, is_lasting=True)
        messages.regenerate_answer(user, answer, limits=current_limits(), regeneration=regeneration)
    except ChatsiteError as error:
        return _render_form(get_conversation(public_id), form, translate_error(error)), error.status
    return redirect(url_for("conversations.show", public_id=public_id), code=303)


def _find_last_answer(conversation: Conversation) -> Message | None:
    """Return the answer at the end of the active branch, or None while it is written or compared with others."""
    leaf = messages.get_by_id(conversation.active_leaf_id) if conversation.active_leaf_id else None
    if leaf is None or leaf.role is not Role.ASSISTANT or leaf.is_in_progress or leaf.in_comparison:
        return None
    return leaf


def _render_form(conversation: Conversation, form: SettingsForm, error_text: str = "") -> str:
    card = find_next_model(conversation)
    view = SettingsPage(
        conversation=conversation,
        fields=build_settings_fields(form, card, _default_options(conversation, card)),
        personas=_persona_links(card),
        can_answer_again=_find_last_answer(conversation) is not None,
        error_message=error_text,
    )
    return render_template("settings/show.html", view=view)


def _default_options(conversation: Conversation, card: ModelCard | None) -> dict[str, float]:
    """Return what empty numbers stand for; an answer that is sampled goes on until it ends or reaches the limit."""
    has_own_limit = card is None or (not conversation.preset and card.entry.family in choice.BEAM_FAMILIES)
    limit = {} if has_own_limit else {"max_new_tokens": float(current_app.config["MAX_ANSWER_TOKENS"])}
    return limit | find_default_options(conversation)


def _persona_links(card: ModelCard | None) -> list[PersonaLink]:
    """List the user's personas, and the built-in ones in the language of the page."""
    selected_id = request.args.get("persona")
    own = [(persona.public_id, persona.name) for persona in personas.list_for(current_user())]
    built_in = [
        (persona.public_id, gettext(persona.name))
        for persona in personas.list_built_in(card.entry.family if card else "")
    ]
    return [PersonaLink(public_id, name, public_id == selected_id) for public_id, name in [*own, *built_in]]
