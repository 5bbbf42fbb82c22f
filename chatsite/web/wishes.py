"""Settings as they are typed into a form, and as pages tell of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from flask import Flask, current_app, request
from flask_babel import gettext

from chatsite.errors import ModelUnknownError, sentence
from chatsite.models import Conversation, Generation, Persona
from chatsite.services import models, personas, settings
from chatsite.services.models import Card
from chatsite.services.personas import BuiltIn
from chatsite.services.settings import NUMBERS, Settings
from chatsite.web.access import known_models, visitor

# What a number does, for those who never heard of it.
MEANINGS = {
    "temperature": sentence("How daring each word is. 0 always takes the likeliest; above 1 it soon makes no sense."),
    "top_p": sentence("Draws only from the likeliest words that together have this share. 1 leaves none out."),
    "top_k": sentence("Draws only from so many of the likeliest words. 0 leaves none out."),
    "repetition_penalty": sentence("Above 1, words that the answer has used become less likely. 1.1 is a lot already."),
    "max_new_tokens": sentence("The answer is cut after so many tokens; a token is about three quarters of a word."),
    "seed": sentence("Where chance begins: the same seed draws the same answer again."),
}


class Field(NamedTuple):
    """A number to be typed: its name in the form, what it is called and what it does, and its bounds."""

    key: str
    label: str
    meaning: str
    least: float
    most: float
    step: str


@dataclass(frozen=True)
class Typed:
    """What stands in the fields of a form."""

    name: str = ""
    instructions: str = ""
    numbers: Mapping[str, str] = field(default_factory=dict)
    model: str = ""


def init_app(app: Flask) -> None:
    """What templates need to offer settings and to tell of them."""
    app.jinja_env.globals.update(
        number_fields=number_fields,
        most_instructions=settings.INSTRUCTIONS_CHARS,
        taken_by=taken_by,
        starters=lambda card: personas.suited(card.entry.family if card else ""),
    )


def typed() -> Typed:
    """What was typed into the form under way."""
    form = request.form
    numbers = {key: form.get(key, "") for key in NUMBERS}
    return Typed(form.get("name", ""), form.get("instructions", ""), numbers, form.get("model", ""))


def shown(wishes: Settings, model: str = "") -> Typed:
    """Settings as they stand in a form."""
    numbers = {key: f"{value:.15g}" for key, value in wishes.numbers.items()}
    return Typed(wishes.persona or "", wishes.instructions or "", numbers, model)


def checked(form: Typed, card: Card | None) -> Settings:
    """What was typed, as it is stored. Raises what `settings.check` raises."""
    return settings.check(form.name, form.instructions, form.numbers, current_app.config["ANSWER_TOKENS"], card)


def of_persona(persona: Persona | BuiltIn) -> Settings:
    """The settings of a persona; one that comes with the site speaks the visitor's language."""
    if isinstance(persona, BuiltIn):
        return Settings(gettext(persona.name), gettext(persona.instructions), persona.numbers or {})
    return Settings(persona.name, persona.instructions or None, persona.numbers or {})


def asked_for() -> Persona | BuiltIn | None:
    """The persona that a new conversation is to begin with, by the form or address. Raises PersonaGoneError."""
    name = request.values.get("persona")
    return personas.find(visitor(), name) if name else None


def who_answers(conversation: Conversation) -> Card | None:
    """The model that answers in a conversation, if it is known."""
    site = known_models()
    try:
        return models.get(site, conversation.model or models.default(site))
    except ModelUnknownError:
        return None


def number_fields() -> list[Field]:
    """The numbers that can be typed, on this site."""
    fields = []
    for key in NUMBERS:
        bounds = settings.bounds(key, current_app.config["ANSWER_TOKENS"])
        step = "1" if bounds.whole else "any"
        fields.append(Field(key, bounds.label, MEANINGS[key], bounds.least, bounds.most, step))
    return fields


def taken_by(instructions: str, card: Card | None) -> int:
    """About how many tokens of a model's window instructions take; 0 where that is not known."""
    return settings.tokens(instructions, card.entry.family) if card and card.entry.context else 0


def told_by(generation: Generation) -> str:
    """What the history says where an answer was written by other settings than the one before; else nothing."""
    return _told(generation.persona) if generation.resets else ""


def told_next(conversation: Conversation, before: Generation) -> str:
    """The same of the answer that comes next, after one that `before` wrote."""
    same = settings.alike(settings.of(conversation), settings.of(before))
    return "" if same else _told(conversation.persona)


def _told(persona: str | None) -> str:
    return str(gettext("From here on: %(persona)s", persona=persona) if persona else gettext("Settings changed here"))
