"""What a page tells of a model: how it stands, what its window means, and who is to answer."""

from __future__ import annotations

from flask import Flask, current_app, request
from flask_babel import gettext, ngettext

from chatsite.engine.catalogue import Entry, Hub
from chatsite.errors import ModelUnknownError
from chatsite.models import Conversation
from chatsite.services import models
from chatsite.services.models import UNDER_WAY, Card
from chatsite.web.access import known_models
from chatsite.web.answers import current_runner

# While a model is in one of these phases its card asks how it goes.
MOVING = {"waiting", "fetching", "converting", "loading", "removing"}
# A turn of small talk with what surrounds it, in tokens; a page of English, at three words for four tokens.
TURN_TOKENS = 20
PAGE_TOKENS = 540
TALKERS = {"blenderbot", "blenderbot-small", "dialogue"}
# How each phase sounds to somebody who waits for an answer.
STANDINGS = {
    "waiting": "fetching",
    "fetching": "fetching",
    "converting": "fetching",
    "loading": "loading",
    "ready": "ready",
    "failed": "failed",
}


def init_app(app: Flask) -> None:
    """What templates need to show models."""
    app.jinja_env.filters["phase"] = phase
    app.jinja_env.globals.update(window_of=window, hub_page=hub_page, moving=MOVING)
    app.jinja_env.globals.update(answering=answering, standing=standing)
    app.jinja_env.globals.update(pull_command=lambda card: f"chatsite models pull {card.name}")
    app.jinja_env.globals.update(manageable=lambda: bool(current_app.config["MANAGE_MODELS"]))


def phase(card: Card) -> str:
    """Where a model is on its way from the catalogue into memory, in one word."""
    if card.removing:
        return "removing"
    if card.waiting:
        return "waiting"
    if card.state in UNDER_WAY or not card.ready:
        return card.state.value
    return "loading" if card.row and card.row.loading else "ready"


def announcement(card: Card) -> str:
    """What a screen reader is told when a model comes into the phase it is in; empty where that is of no matter."""
    name = card.entry.title
    sentences = {
        "fetching": gettext("%(model)s is being fetched.", model=name),
        "ready": gettext("%(model)s is ready.", model=name),
        "failed": gettext("There is a problem with %(model)s.", model=name),
        "absent": gettext("%(model)s was removed.", model=name),
    }
    return str(sentences.get(phase(card), ""))


def window(entry: Entry) -> str:
    """What the model can see at once, as a reader knows it; empty where its size is not known."""
    if not entry.context:
        return ""
    if entry.family == "text-to-text":
        return str(gettext("one message at a time, and nothing of what came before"))
    if entry.family in TALKERS:
        turns = entry.context // TURN_TOKENS
        return str(ngettext("about the last %(num)s turn", "about the last %(num)s turns", turns))
    pages = max(1, round(entry.context / PAGE_TOKENS))
    return str(ngettext("about %(num)s page", "about %(num)s pages", pages))


def hub_page(entry: Entry) -> str | None:
    """The address of the model's own page on the Hugging Face Hub."""
    return f"https://huggingface.co/{entry.source.repo}" if isinstance(entry.source, Hub) else None


def answering(conversation: Conversation | None) -> Card | None:
    """The model that answers next: the conversation's, or for a new one what the address asks for, or the default.

    None when nobody knows that model any more.
    """
    asked = conversation.model if conversation else request.args.get("model")
    try:
        return models.get(known_models(), asked or models.default(known_models()))
    except ModelUnknownError:
        return None


def standing(card: Card | None) -> str:
    """Whether the model can answer now: `ready`, `loading`, `fetching`, `failed`, `away`, or `missing` with its runner.

    What a runner says of the model it prefers goes before what is written down of all models.
    """
    found = current_runner()
    if found is None:
        return "missing"
    if card and card.name == found.model:
        return found.state.value
    return STANDINGS.get(phase(card), "away") if card else "away"
