"""Menus of an answer: other ways to regenerate it, and everything else that can be done with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask import Blueprint, render_template, request
from flask_babel import gettext

from chatsite.engine.types import Preset
from chatsite.errors import InvalidPresetError, ModelNotFoundError, NotFoundError, gettext_noop
from chatsite.i18n import select_locale
from chatsite.models import Message, Role
from chatsite.services.chat import generations, reruns
from chatsite.services.chat.messages import Regeneration
from chatsite.services.chat.variations import INSTRUCTED_FAMILIES, Variation
from chatsite.services.models import catalog, choice
from chatsite.services.models.catalog import ModelCard
from chatsite.web.core.htmx import htmx_headers
from chatsite.web.core.identity import catalog_config, get_message
from chatsite.web.core.page_view import PageView
from chatsite.web.core.templating import render_macro
from chatsite.web.models.picker import requested_choice

bp = Blueprint("answer_menus", __name__)

VARIATION_LABELS = {Variation.SHORTER: gettext_noop("Shorter"), Variation.SIMPLER: gettext_noop("Simpler")}
PRESET_LABELS = {Preset.PRECISE: gettext_noop("More precise"), Preset.CREATIVE: gettext_noop("More creative")}


@dataclass(frozen=True)
class RegenerateOption:
    """A button that regenerates an answer: the form field with its value, and the label."""

    name: str
    value: str
    label: str


@dataclass(frozen=True)
class RegenerateMenu:
    """The ways to regenerate an answer: otherwise by the same model, or by another model."""

    message: Message
    adjustments: Sequence[RegenerateOption]
    other_models: Sequence[RegenerateOption]


@dataclass(frozen=True)
class AnswerMenu:
    """What can be done with an answer. A temporary one can neither be branched nor shared.

    Only under the latest answer stand the thumbs and the other ways to regenerate; under all others they are here.
    """

    message: Message
    is_temporary: bool
    is_latest: bool
    can_regenerate: bool
    can_rate: bool
    has_prompt_report: bool


@dataclass(frozen=True, kw_only=True)
class MenuPage(PageView):
    """A menu of an answer, as a page of its own."""

    message: Message
    menu: RegenerateMenu | AnswerMenu


@bp.get("/messages/<public_id>/actions")
def show(public_id: str) -> str:
    """Show what can be done with an answer: as a menu for htmx, or as a page. Raises NotFoundError."""
    message = get_message(public_id)
    if message.role is Role.USER:
        raise NotFoundError
    menu = build_answer_menu(message)
    if htmx_headers().wants_fragment:
        return render_macro("messages/_answer_actions.html", "answer_actions", menu)
    view = MenuPage(message=message, menu=menu)
    return render_template("messages/actions.html", view=view)


def build_answer_menu(message: Message) -> AnswerMenu:
    """Build the menu of everything that can be done with an answer."""
    generation = message.generation
    return AnswerMenu(
        message,
        message.conversation.expires_at is not None,
        is_latest(message),
        can_regenerate(message, is_followed=bool(reruns.find_followed([message.id]))),
        can_rate(message),
        bool(generation and (generation.prompt_report or generation.token_count)),
    )


def can_regenerate(message: Message, *, is_followed: bool) -> bool:
    """Return whether another version of an answer can be asked for.

    One that failed is tried again instead, unless it `is_followed` by a question: then that would be answered to
    another text.
    """
    is_over = not message.is_in_progress and (is_followed or not generations.can_retry(message))
    return is_over and not message.in_comparison and message.parent_id is not None


def is_latest(message: Message) -> bool:
    """Return whether the conversation ends with an answer, alone or beside those that it is compared with."""
    return message.in_comparison or message.id == message.conversation.active_leaf_id


def can_rate(message: Message) -> bool:
    """Return whether there is something in an answer to be rated, and all of it was written."""
    return bool(message.text) and message.generation is not None and not message.is_in_progress


def build_regenerate_menu(message: Message) -> RegenerateMenu:
    """Build the menu of the ways to regenerate an answer; it offers only what has an effect."""
    card = _answering_card(message)
    preset = message.generation.preset if message.generation else None
    family = card.entry.family if card else ""
    variations = [(each.value, VARIATION_LABELS[each]) for each in Variation] if family in INSTRUCTED_FAMILIES else []
    presets = [
        (each.value, label)
        for each, label in PRESET_LABELS.items()
        if each != (preset or choice.default_preset(family))
    ]
    return RegenerateMenu(
        message,
        [RegenerateOption("variation", value, gettext(label)) for value, label in variations]
        + [RegenerateOption("preset", value, gettext(label)) for value, label in presets],
        [
            RegenerateOption("model", each.name, each.entry.title)
            for each in catalog.list_available(catalog_config())
            if card is None or each.name != card.name
        ],
    )


def requested_regeneration(message: Message) -> Regeneration:
    """Return how the submitted form wants an answer to be regenerated.

    A named model answers from now on. A style or a variation is for this answer alone, by the model that wrote it.
    Raises ModelNotAvailableError, InvalidPresetError.
    """
    form = request.form
    if form.get("model"):
        return Regeneration(requested_choice(message.conversation), is_lasting=True)
    model_choice = choice.get_for_regeneration(catalog_config(), message, form.get("preset"))
    return Regeneration(model_choice, variation=_requested_variation(message), language=select_locale())


def _requested_variation(message: Message) -> Variation | None:
    name, card = request.form.get("variation"), _answering_card(message)
    if not name:
        return None
    if name not in list(Variation) or card is None or card.entry.family not in INSTRUCTED_FAMILIES:
        raise InvalidPresetError
    return Variation(name)


def _answering_card(message: Message) -> ModelCard | None:
    """Return the model that regenerates an answer if no other one is chosen; None if there is none."""
    model = choice.get_for_regeneration(catalog_config(), message).model
    try:
        return catalog.get_card(catalog_config(), model or "")
    except ModelNotFoundError:
        return None
