"""Who answers, as a page offers it: the models and manners that can be chosen, and what a form chose."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from flask import Flask, request
from flask_babel import gettext

from chatsite.engine import Preset
from chatsite.errors import ModelUnknownError, TooFewModelsError, sentence
from chatsite.models import Conversation, Generation, Message, Persona
from chatsite.services import answerers, comparisons, models, settings
from chatsite.services.answerers import WEIGHING, Answerer
from chatsite.services.models import Card
from chatsite.services.settings import Settings
from chatsite.web import wishes
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
    """Who answers next, and who else could. The one who is to answer is `away` when their weights are not here.

    `persona` names what they are told before all messages; of the `rivals` those that are chosen all answer the next
    question.
    """

    model: str
    manner: str
    away: bool
    models: list[Option]
    manners: list[Option]
    persona: str = ""
    rivals: tuple[Option, ...] = ()


def init_app(app: Flask) -> None:
    """What templates need to offer a choice and to tell of it."""
    app.jinja_env.globals.update(
        choice_of=choice_of,
        title_of=title_of,
        changes_at=changes_at,
        changes_next=changes_next,
        persona_asked_for=wishes_asked_for,
    )


def asked_for(conversation: Conversation | None) -> Answerer:
    """Who is to answer, by the form or address under way, or else as before. Raises what `answerers.check` raises."""
    model, preset = request.values.get("model"), request.values.get("preset")
    if conversation is None:
        persona = wishes.asked_for() if model is None else None
        if isinstance(persona, Persona) and persona.model and answerers.is_here(known_models(), persona.model):
            model, preset = persona.model, persona.preset
        return answerers.check(known_models(), model, preset)
    return answerers.of(known_models(), conversation, model, preset)


def all_asked_for(conversation: Conversation | None) -> list[Answerer]:
    """Everybody who is to answer the next question; more than one where they are to be compared.

    Whoever answers anyway comes first. Raises TooFewModelsError and what `answerers.check` raises.
    """
    names = set(request.form.getlist("compare"))
    if not names:
        return [asked_for(conversation)]
    if not 2 <= len(names) <= comparisons.MOST:
        raise TooFewModelsError
    now = asked_for(conversation)
    others = [answerers.check(known_models(), name, None) for name in sorted(names) if name != now.model]
    return [now, *others] if now.model in names else others


def wishes_asked_for(answerer: Answerer | None = None) -> Settings | None:
    """The settings that a new conversation begins with.

    Raises PersonaGoneError, and RoomError where `answerer` cannot read them.
    """
    persona = wishes.asked_for()
    if persona is None:
        return None
    told = wishes.of_persona(persona)
    if answerer and answerer.model:
        settings.require_room(told.instructions or "", models.get(known_models(), answerer.model))
    return told


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
        persona=_persona(conversation),
        rivals=_rivals(offered),
    )


def _persona(conversation: Conversation | None) -> str:
    """What the instructions and numbers of a conversation are called; nothing where there are none."""
    told = settings.of(conversation) if conversation else wishes_asked_for()
    if not told:
        return ""
    return told.persona or str(gettext("own settings"))


def title_of(name: str) -> str:
    """What a model is called; a name that nobody knows any more stands for itself."""
    try:
        return models.get(known_models(), name).entry.title
    except ModelUnknownError:
        return name


def changes_at(generation: Generation | None) -> str:
    """What is said where another model began to answer, or where settings changed; nothing where none did."""
    if generation is None:
        return ""
    return _told(generation.model if generation.takes_over else None, wishes.told_by(generation))


def changes_next(conversation: Conversation | None, last: Message | None) -> str:
    """The same of the answer that comes next."""
    before = last.generation if last else None
    if last is None or conversation is None or before is None or last.comparing:
        return ""
    other = conversation.model if before.model != conversation.model else None
    return _told(other, wishes.told_next(conversation, before))


def _told(model: str | None, settings_changed: str) -> str:
    lines = [gettext("%(model)s answers from here on", model=title_of(model))] if model else []
    return " · ".join([*lines, settings_changed] if settings_changed else lines)


def _rivals(offered: Iterable[Card]) -> tuple[Option, ...]:
    """Who could be compared. What was compared once is not chosen for the question after it."""
    asked = request.values.getlist("compare") if request.blueprint == "answerers" else []
    return tuple(Option(card.name, card.entry.title, "", card.name in asked) for card in offered)


def _models(offered: Iterable[Card], name: str) -> list[Option]:
    return [Option(card.name, card.entry.title, card.entry.purpose, card.name == name) for card in offered]
