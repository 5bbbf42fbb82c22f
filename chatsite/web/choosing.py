"""Who answers, as a page offers it: the models and manners that can be chosen, and what a form chose."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from flask import Flask, request

from chatsite.engine import Preset
from chatsite.errors import ModelUnknownError, sentence
from chatsite.models import Conversation, Message
from chatsite.services import answerers, models
from chatsite.services.answerers import WEIGHING, Answerer
from chatsite.services.models import Card
from chatsite.web.access import known_models

# What a manner is called and what it means: for models that weigh whole answers of their own accord, for those that do
# one task a message, and for all others.
WEIGHED = {
    Preset.PRECISE: (sentence("precise"), sentence("Weighs ten answers and keeps the best one.")),
    Preset.BALANCED: (sentence("fast"), sentence("Writes one answer, word after word.")),
    Preset.CREATIVE: (sentence("creative"), sentence("Writes one answer and dares unlikely words.")),
}
TASKED = {
    Preset.PRECISE: (sentence("precise"), sentence("Weighs four answers and keeps the best one.")),
    Preset.BALANCED: (sentence("balanced"), sentence("Takes the likeliest word each time.")),
    Preset.CREATIVE: (sentence("creative"), sentence("Writes one answer and dares unlikely words.")),
}
DRAWN = {
    Preset.PRECISE: (sentence("precise"), sentence("Takes the likeliest words, with few surprises.")),
    Preset.BALANCED: (sentence("balanced"), sentence("Answers as the model does best.")),
    Preset.CREATIVE: (sentence("creative"), sentence("Dares unlikely words; it strays more often, too.")),
}
WORDS = {"text-to-text": TASKED, **dict.fromkeys(WEIGHING, WEIGHED)}


@dataclass(frozen=True)
class Option:
    """Something to choose: its `value` in a form, its name, what it means, and whether it is chosen now."""

    value: str
    label: str
    meaning: str
    chosen: bool


@dataclass(frozen=True)
class Choice:
    """Who answers next, and who else could. The one who is to answer is `away` when their weights are not here."""

    model: str
    manner: str
    away: bool
    models: list[Option]
    manners: list[Option]


def init_app(app: Flask) -> None:
    """What templates need to offer a choice and to tell of it."""
    app.jinja_env.globals.update(choice_of=choice_of, title_of=title_of, hands_over=hands_over)


def asked_for(conversation: Conversation | None) -> Answerer:
    """Who is to answer, by the form or address under way, or else as before. Raises what `answerers.check` raises."""
    model, preset = request.values.get("model"), request.values.get("preset")
    if conversation is None:
        return answerers.check(known_models(), model, preset)
    return answerers.of(known_models(), conversation, model, preset)


def choice_of(conversation: Conversation | None) -> Choice:
    """What the composer offers in a conversation, or in a new one as its address says.

    Raises what `answerers.check` raises for an address that names somebody who cannot answer.
    """
    site = known_models()
    now = Answerer(conversation.model, conversation.preset) if conversation else asked_for(None)
    name = now.model or models.default(site)
    offered = models.choices(site)
    found = next((card for card in offered if card.name == name), None)
    family = found.entry.family if found else ""
    usual = answerers.usual(family)
    words = WORDS.get(family, DRAWN)
    chosen = now.preset if now.preset in words else usual
    return Choice(
        model=title_of(name),
        manner=words[Preset(chosen)][0],
        away=found is None,
        models=_models(offered, name),
        # The usual manner is the model's own; what is sent for it asks for nothing.
        manners=[Option("" if key == usual else key, *words[key], chosen=key == chosen) for key in Preset],
    )


def title_of(name: str) -> str:
    """What a model is called; a name that nobody knows any more stands for itself."""
    try:
        return models.get(known_models(), name).entry.title
    except ModelUnknownError:
        return name


def hands_over(conversation: Conversation | None, last: Message | None) -> bool:
    """Whether the next answer comes from another model than the last one did."""
    before = last.generation if last else None
    return bool(conversation and conversation.model and before and before.model != conversation.model)


def _models(offered: Iterable[Card], name: str) -> list[Option]:
    return [Option(card.name, card.entry.title, card.entry.purpose, card.name == name) for card in offered]
