"""Starters: first messages that a new conversation suggests, suited to the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask_babel import get_locale, gettext

from chatsite.errors import gettext_noop
from chatsite.models import Persona
from chatsite.services.models.catalog import ModelCard
from chatsite.services.personas.personas import BuiltInPersona

CHAT_STARTERS = (
    gettext_noop("I just came back from a long walk by the sea."),
    gettext_noop("Do you like to cook? I burnt my dinner today."),
    gettext_noop("What is the best trip you have ever taken?"),
    gettext_noop("I am learning to play the piano. Do you play anything?"),
)
CONTINUATION_STARTERS = (
    gettext_noop("Once upon a time, in a house at the edge of the sea,"),
    gettext_noop("The three most important rules of good cooking are"),
    gettext_noop("Dear neighbors, next Saturday we are going to"),
    gettext_noop("When the lights went out, nobody in the library"),
)
TASK_STARTERS = (
    "translate English to German: Where is the nearest station?",
    "translate English to French: I would like a cup of tea, please.",
    "summarize: The library closes at six today, because its roof is being repaired. Books can be returned all night.",
    "Is this review good or bad? The soup was cold and nobody smiled.",
)
INSTRUCTION_STARTERS = (
    gettext_noop("Explain how rainbows form, in three sentences."),
    gettext_noop("Write a short poem about the sea at night."),
    gettext_noop("Give me five ideas for a rainy Sunday."),
    gettext_noop("Write a Python function that reverses a string."),
)
# Starters that suit what a family was trained for; all other families follow instructions.
STARTERS_BY_FAMILY = {
    "blenderbot": CHAT_STARTERS,
    "blenderbot-small": CHAT_STARTERS,
    "dialogue": CHAT_STARTERS,
    "continuation": CONTINUATION_STARTERS,
    "text-to-text": TASK_STARTERS,
}


@dataclass(frozen=True)
class Starter:
    """A suggested first message, and the code of its language."""

    text: str
    language: str


def list_starters(card: ModelCard | None, persona: Persona | BuiltInPersona | None = None) -> Sequence[Starter]:
    """List four starters that suit a model, or the three of a built-in persona.

    They are in the language of the page, or in English if the model does not read that language.
    """
    if isinstance(persona, BuiltInPersona):
        texts: tuple[str, ...] = persona.starters
    else:
        texts = STARTERS_BY_FAMILY.get(card.entry.family, INSTRUCTION_STARTERS) if card else INSTRUCTION_STARTERS
    language = str(get_locale() or "en")
    if texts is TASK_STARTERS or (card and card.entry.languages and language not in card.entry.languages):
        return [Starter(text, "en") for text in texts]
    return [Starter(gettext(text), language) for text in texts]
