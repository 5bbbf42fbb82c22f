"""Who answers in a conversation, and in what manner: the model and the preset that were chosen for it."""

from __future__ import annotations

from dataclasses import dataclass

from chatsite.database import write
from chatsite.engine import Preset
from chatsite.errors import ModelAwayError, ModelUnknownError, PresetUnknownError
from chatsite.models import Conversation, Message
from chatsite.services import conversations, models
from chatsite.services.models import Card, Known

# Families that were published with a beam search; it is their own way, and the careful one.
WEIGHING = frozenset({"blenderbot", "blenderbot-small"})

# Of a name that nobody knows so many characters are repeated.
MOST_SHOWN = 100


@dataclass(frozen=True)
class Answerer:
    """A model by its name in the catalogue, and a preset; None leaves either to the site or to the model."""

    model: str | None = None
    preset: str | None = None


def usual(family: str) -> Preset:
    """The preset that comes nearest to how models of a family choose their words when nothing is asked of them."""
    return Preset.PRECISE if family in WEIGHING else Preset.BALANCED


def check(site: Known, model: str | None, preset: str | None) -> Answerer:
    """What was chosen, as it is stored: the usual preset of a model is none, which leaves the model its own way.

    Without a model it is the site's default. Raises ModelAwayError when nobody of that name can answer now, or
    PresetUnknownError.
    """
    name = model or models.default(site)
    if preset and preset not in list(Preset):
        raise PresetUnknownError
    try:
        card = models.get(site, name)
    except ModelUnknownError:
        raise ModelAwayError(model=name[:MOST_SHOWN]) from None
    if not _here(card):
        raise ModelAwayError(model=card.entry.title)
    return Answerer(card.name, preset if preset and preset != usual(card.entry.family) else None)


def of(site: Known, conversation: Conversation, model: str | None = None, preset: str | None = None) -> Answerer:
    """Who answers next in a conversation: as it is asked for now, or else as it was chosen before.

    Raises what `check` raises.
    """
    same = not model or model == conversation.model
    return check(site, model or conversation.model, conversation.preset if preset is None and same else preset)


def again(site: Known, message: Message, keep_text: bool) -> Answerer:
    """Who writes an answer once more: who wrote what is kept of it or is compared, if they can; else who answers next.

    Raises what `check` raises.
    """
    before = message.generation
    if (keep_text or message.comparing) and before and before.model and is_here(site, before.model):
        return Answerer(before.model, before.preset)
    return of(site, message.conversation)


def choose(conversation: Conversation, answerer: Answerer) -> Conversation:
    """Have somebody answer from here on. Raises ConversationGoneError."""
    conversation_id, user_id = conversation.id, conversation.user_id
    with write():
        found = conversations.lock(conversation_id, user_id)
        found.model, found.preset = answerer.model, answerer.preset
        return found


def is_here(site: Known, model: str) -> bool:
    """Whether a model of that name can answer."""
    try:
        return _here(models.get(site, model))
    except ModelUnknownError:
        return False


def _here(card: Card) -> bool:
    # The default is on its way where it is not here yet, and questions wait for it.
    return card.default or (card.ready and not card.removing)
