"""The settings form: submitted values, fields, and change notices about settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from flask import current_app, request
from flask_babel import gettext

from chatsite.errors import gettext_noop
from chatsite.models import Conversation, Generation, Persona
from chatsite.services.accounts import user_settings
from chatsite.services.chat import chat_settings, variations
from chatsite.services.chat.chat_settings import NUMERIC_OPTIONS, ChatSettings
from chatsite.services.models.catalog import ModelCard
from chatsite.services.personas import personas
from chatsite.services.personas.personas import BuiltInPersona
from chatsite.web.core.identity import current_user
from chatsite.web.models.views import find_next_model

# Explanations of the numeric options for users who do not know them.
DESCRIPTIONS = {
    "temperature": gettext_noop(
        "How random the words are: 0 always picks the most likely one, above 1 the text soon stops making sense."
    ),
    "top_p": gettext_noop("Picks only among the most likely words that add up to this probability. 1 includes all."),
    "top_k": gettext_noop("Picks only among this many of the most likely words. 0 includes all."),
    "repetition_penalty": gettext_noop("Above 1, words that the answer has used become less likely. 1.1 is a lot."),
    "max_new_tokens": gettext_noop("The answer stops at this many tokens; a token is about three quarters of a word."),
    "seed": gettext_noop("Random seed: the same seed gives the same answer."),
}


# The options that everybody understands; the others are behind a click.
MAIN_OPTIONS = ("temperature", "max_new_tokens")
# The steps of the sliders. A seed has none.
SLIDER_STEPS = {"temperature": 0.05, "top_p": 0.05, "top_k": 1, "repetition_penalty": 0.05, "max_new_tokens": 1}
# Higher numbers can be typed, but make no difference worth a slider.
MAX_SLIDER_TOP_K = 200


class NumberField(NamedTuple):
    """A numeric generation option in the form: its key, label, description, bounds, and the step of its slider.

    `slider_step` is 0 without a slider. `default` is what the model uses if the field is empty, None if not known.
    """

    key: str
    label: str
    description: str
    min_value: float
    max_value: float
    slider_step: float
    default: float | None

    @property
    def slider_max(self) -> float:
        """The value at the end of the slider."""
        return MAX_SLIDER_TOP_K if self.key == "top_k" else self.max_value


@dataclass(frozen=True)
class SettingsForm:
    """The submitted or stored values of a settings form, as text."""

    name: str = ""
    instructions: str = ""
    numbers: Mapping[str, str] = field(default_factory=dict)
    model: str = ""


@dataclass(frozen=True)
class SettingsFields:
    """The fields of a settings form, for the model of `card` if one is known.

    `main_fields` are the numbers that everybody understands, `advanced_fields` the others. `instruction_tokens`
    estimates how much of the context window of the model the instructions take.
    """

    form: SettingsForm
    card: ModelCard | None
    main_fields: Sequence[NumberField]
    advanced_fields: Sequence[NumberField]
    max_instructions_chars: int
    instruction_tokens: int

    @property
    def has_advanced_values(self) -> bool:
        """Return whether one of the advanced fields is filled."""
        return any(self.form.numbers.get(field.key) for field in self.advanced_fields)


def read_form() -> SettingsForm:
    """Return the values of the form in the request."""
    form = request.form
    numbers = {key: form.get(key, "") for key in NUMERIC_OPTIONS}
    return SettingsForm(form.get("name", ""), form.get("instructions", ""), numbers, form.get("model", ""))


def fill_form(settings: ChatSettings, model: str = "") -> SettingsForm:
    """Return the values of a form that shows `settings`."""
    numbers = {key: f"{value:.15g}" for key, value in settings.generation_options.items()}
    return SettingsForm(settings.persona or "", settings.instructions or "", numbers, model)


def validate_form(form: SettingsForm, card: ModelCard | None) -> ChatSettings:
    """Return the validated settings in a form, for the model of `card` if one is known.

    Raises PersonaNameTooLongError, InstructionsTooLongError, InvalidOptionError,
    InstructionsTooLargeForContextError.
    """
    return chat_settings.validate(
        form.name,
        form.instructions,
        form.numbers,
        max_answer_tokens=current_app.config["MAX_ANSWER_TOKENS"],
        card=card,
        user_instructions=user_settings.get_instructions(current_user()),
    )


def persona_settings(persona: Persona | BuiltInPersona) -> ChatSettings:
    """Return the settings of a persona; a built-in one is in the language of the page."""
    if isinstance(persona, BuiltInPersona):
        return ChatSettings(gettext(persona.name), gettext(persona.instructions), persona.generation_options or {})
    return ChatSettings(persona.name, persona.instructions or None, persona.generation_options or {})


def requested_persona() -> Persona | BuiltInPersona | None:
    """Return the persona in the form or address of the request, or None. Raises PersonaNotFoundError."""
    persona_id = request.values.get("persona")
    return personas.get_any(current_user(), persona_id) if persona_id else None


def _number_field(key: str, defaults: Mapping[str, float]) -> NumberField:
    """Return a numeric field with the bounds of this site."""
    bounds = chat_settings.option_bounds(key, current_app.config["MAX_ANSWER_TOKENS"])
    step = SLIDER_STEPS.get(key, 0)
    return NumberField(
        key, bounds.label, DESCRIPTIONS[key], bounds.minimum, bounds.maximum, step, default=defaults.get(key)
    )


def build_settings_fields(
    form: SettingsForm, card: ModelCard | None, defaults: Mapping[str, float] | None = None
) -> SettingsFields:
    """Build the fields of a settings form, filled with `form`; `defaults` are what empty numbers stand for."""
    fields = {key: _number_field(key, defaults or {}) for key in NUMERIC_OPTIONS}
    return SettingsFields(
        form=form,
        card=card,
        main_fields=[fields[key] for key in MAIN_OPTIONS],
        advanced_fields=[field for key, field in fields.items() if key not in MAIN_OPTIONS],
        max_instructions_chars=chat_settings.MAX_INSTRUCTIONS_CHARS,
        instruction_tokens=count_instruction_tokens(form.instructions, card),
    )


def count_instruction_tokens(instructions: str, card: ModelCard | None) -> int:
    """Estimate how many tokens the instructions take; 0 if the context window of the model is not known."""
    return chat_settings.estimate_tokens(instructions, card.entry.family) if card and card.entry.context_tokens else 0


def settings_notice(generation: Generation) -> str:
    """Return the notice that the settings changed before the answer of `generation`, or an empty string."""
    return _notice_sentence(generation.persona) if generation.settings_changed else ""


def next_settings_notice(conversation: Conversation, last_generation: Generation) -> str:
    """Return the notice that the settings changed since `last_generation`, or an empty string."""
    card = find_next_model(conversation)
    next_settings = chat_settings.for_next_answer(conversation, card.entry.family if card else "")
    is_same = variations.have_same_effect(next_settings, chat_settings.read_from(last_generation))
    return "" if is_same else _notice_sentence(conversation.persona)


def _notice_sentence(persona: str | None) -> str:
    return str(gettext("From here on: %(persona)s", persona=persona) if persona else gettext("Chat settings changed"))
