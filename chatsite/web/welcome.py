"""What a new conversation offers to begin with: four openings that suit who is to answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask import Flask
from flask_babel import get_locale, gettext

from chatsite.errors import sentence
from chatsite.services.models import Card

TALK = (
    sentence("I just came back from a long walk by the sea."),
    sentence("Do you like to cook? I burnt my dinner today."),
    sentence("What is the best trip you ever made?"),
    sentence("I am learning to play the piano. Do you play anything?"),
)
BEGINNINGS = (
    sentence("Once upon a time, in a house at the edge of the sea,"),
    sentence("The three most important rules of good cooking are"),
    sentence("Dear neighbours, next Saturday we are going to"),
    sentence("When the lights went out, nobody in the library"),
)
ORDERS = (
    "translate English to German: Where is the nearest station?",
    "translate English to French: I would like a cup of tea, please.",
    "summarize: The library closes at six today, because its roof is being mended. Books can be returned all night.",
    "Is this review good or bad? The soup was cold and nobody smiled.",
)
TASKS = (
    sentence("Explain how rainbows form, in three sentences."),
    sentence("Write a short poem about the sea at night."),
    sentence("Give me five ideas for a rainy Sunday."),
    sentence("Write a Python function that reverses a string."),
)
# By what models of a family were made for; all others are given tasks.
SUITED = {
    "blenderbot": TALK,
    "blenderbot-small": TALK,
    "dialogue": TALK,
    "continuation": BEGINNINGS,
    "text-to-text": ORDERS,
}


@dataclass(frozen=True)
class Opening:
    """Something to begin with, and the language that it is in."""

    text: str
    language: str


def init_app(app: Flask) -> None:
    """What the page of a new conversation needs."""
    app.jinja_env.globals.update(openings=openings)


def openings(card: Card | None) -> Sequence[Opening]:
    """Four openings for a model: in the visitor's language, or in English where the model does not read that."""
    texts = SUITED.get(card.entry.family, TASKS) if card else TASKS
    language = str(get_locale() or "en")
    if texts is ORDERS or (card and card.entry.languages and language not in card.entry.languages):
        return [Opening(text, "en") for text in texts]
    return [Opening(gettext(text), language) for text in texts]
