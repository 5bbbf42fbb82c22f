"""The settings of a conversation: what the model is told before all messages, and the numbers by which it writes.

They hold from the next answer on. An answer keeps those that it was queued with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from chatsite.database import write
from chatsite.engine import Options
from chatsite.errors import InstructionsTooLongError, NameTooLongError, NumberError, RoomError, sentence
from chatsite.models import Conversation
from chatsite.models.persona import PERSONA_CHARS
from chatsite.services import conversations
from chatsite.services.models import Card
from chatsite.services.texts import tidy

INSTRUCTIONS_CHARS = 4000
CHARS_PER_TOKEN = 4
# Families whose models read each line of the instructions as one of their own persona.
LINED = frozenset({"blenderbot", "blenderbot-small"})
# What `your persona: ` takes of a window, and the mark at the end of the line.
LINE_TOKENS = 4
# Families that were not taught to read anything but the turns.
UNTOLD = frozenset({"dialogue", "text-to-text"})


@dataclass(frozen=True)
class Number:
    """A decoding option that can be set by hand: what it is called, from where to where it goes, in whole steps."""

    label: str
    least: float
    most: float
    whole: bool = False


NUMBERS = {
    "temperature": Number(sentence("Temperature"), 0, 2),
    "top_p": Number(sentence("Top-p"), 0.1, 1),
    "top_k": Number(sentence("Top-k"), 0, 1000, whole=True),
    "repetition_penalty": Number(sentence("Repetition penalty"), 1, 2),
    "max_new_tokens": Number(sentence("Greatest length"), 1, Options().max_new_tokens, whole=True),
    "seed": Number(sentence("Seed"), 0, 2**32 - 1, whole=True),
}


@dataclass(frozen=True)
class Settings:
    """Instructions, the name of whom they describe, and numbers by their names in `chatsite.engine.Options`."""

    persona: str | None = None
    instructions: str | None = None
    numbers: Mapping[str, float] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether anything is set."""
        return bool(self.persona or self.instructions or self.numbers)


class Settable(Protocol):
    """What settings can be kept with: a conversation, or a generation."""

    persona: str | None
    instructions: str | None
    numbers: dict[str, float] | None


def of(thing: Settable | None) -> Settings:
    """The settings that something has; what has none has nothing set."""
    return Settings(thing.persona, thing.instructions, thing.numbers or {}) if thing else Settings()


def put(thing: Settable, settings: Settings) -> None:
    """Keep settings with something, in the write under way."""
    thing.persona, thing.instructions = settings.persona, settings.instructions
    thing.numbers = dict(settings.numbers) or None


def alike(one: Settings, other: Settings) -> bool:
    """Whether models are told the same by both; a name alone tells them nothing."""
    return (one.instructions, dict(one.numbers)) == (other.instructions, dict(other.numbers))


def change(conversation: Conversation, settings: Settings) -> Conversation:
    """Have settings hold from the next answer on. Raises ConversationGoneError."""
    conversation_id, user_id = conversation.id, conversation.user_id
    with write():
        found = conversations.lock(conversation_id, user_id)
        put(found, settings)
        return found


def check(name: str, instructions: str, numbers: Mapping[str, str], most_tokens: int, card: Card | None) -> Settings:
    """What was typed, as it is stored; an empty field asks for nothing. `most_tokens` bounds answers on this site.

    `card` is the model that is to read it. Raises NameTooLongError, ControlCharactersError, InstructionsTooLongError,
    RoomError and NumberError.
    """
    name = " ".join(tidy(name).split())
    if len(name) > PERSONA_CHARS:
        raise NameTooLongError(most=PERSONA_CHARS)
    instructions = tidy(instructions)
    if len(instructions) > INSTRUCTIONS_CHARS:
        raise InstructionsTooLongError(most=INSTRUCTIONS_CHARS, length=len(instructions))
    if card:
        require_room(instructions, card)
    found = {key: _number(key, typed, most_tokens) for key, typed in numbers.items() if typed.strip()}
    return Settings(name or None, instructions or None, found)


def require_room(instructions: str, card: Card) -> None:
    """A conversation needs some of the window, too; how large that is, is not known of all models. Raises RoomError."""
    entry = card.entry
    taken = tokens(instructions, entry.family)
    if entry.context and taken > entry.context // 2:
        raise RoomError(taken=taken, context=entry.context, model=entry.title)


def tokens(instructions: str, family: str) -> int:
    """About how many tokens instructions take of a model's window."""
    lines = [line for line in instructions.splitlines() if line.strip()]
    if family in UNTOLD or not lines:
        return 0
    return -(-len(instructions) // CHARS_PER_TOKEN) + (LINE_TOKENS * len(lines) if family in LINED else 0)


def bounds(key: str, most_tokens: int) -> Number:
    """From where to where a number goes; a bound for lengths is the site's own."""
    number = NUMBERS[key]
    return Number(number.label, number.least, most_tokens, True) if key == "max_new_tokens" else number


def _number(key: str, typed: str, most_tokens: int) -> float:
    number = bounds(key, most_tokens)
    try:
        # A comma is a point in many languages.
        value = float(typed.strip().replace(",", "."))
    except ValueError:
        value = float("nan")
    if not number.least <= value <= number.most or (number.whole and value != int(value)):
        raise NumberError(name=number.label, least=_plain(number.least), most=_plain(number.most))
    return int(value) if number.whole else value


def _plain(value: float) -> str:
    return f"{value:g}" if value < 1e6 else f"{value:.0f}"
