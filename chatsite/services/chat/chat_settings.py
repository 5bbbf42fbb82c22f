"""Chat settings of a conversation: persona name, instructions and generation options.

They apply from the next answer on. A generation keeps the settings with which it was queued.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from chatsite.database import write_transaction
from chatsite.engine.types import GenerationOptions
from chatsite.errors import (
    InstructionsTooLargeForContextError,
    InstructionsTooLongError,
    InvalidOptionError,
    PersonaNameTooLongError,
    gettext_noop,
)
from chatsite.models import Conversation, Generation
from chatsite.models.persona import MAX_PERSONA_NAME_CHARS
from chatsite.services.accounts import user_settings
from chatsite.services.chat import conversations
from chatsite.services.models.catalog import ModelCard
from chatsite.services.models.choice import ModelChoice
from chatsite.services.text import clean_text

MAX_INSTRUCTIONS_CHARS = 4000
CHARS_PER_TOKEN = 4
# Families whose models read each line of the instructions as a line of their own persona.
PERSONA_LINE_FAMILIES = frozenset({"blenderbot", "blenderbot-small"})
# The tokens of `your persona: ` and of the end of the line.
TOKENS_PER_PERSONA_LINE = 4
# Families that were trained on turns only.
NO_INSTRUCTION_FAMILIES = frozenset({"dialogue", "text-to-text"})


@dataclass(frozen=True)
class NumericOption:
    """A generation option that users can set: its label and its bounds, both inclusive."""

    label: str
    minimum: float
    maximum: float
    is_integer: bool = False


NUMERIC_OPTIONS = {
    "temperature": NumericOption(gettext_noop("Creativity (temperature)"), 0, 2),
    "top_p": NumericOption(gettext_noop("Top-p"), 0.1, 1),
    "top_k": NumericOption(gettext_noop("Top-k"), 0, 1000, is_integer=True),
    "repetition_penalty": NumericOption(gettext_noop("Repetition penalty"), 1, 2),
    "max_new_tokens": NumericOption(
        gettext_noop("Maximum length"), 1, GenerationOptions().max_new_tokens, is_integer=True
    ),
    "seed": NumericOption(gettext_noop("Seed"), 0, 2**32 - 1, is_integer=True),
}


@dataclass(frozen=True)
class ChatSettings:
    """Persona name, instructions, and generation options by their names in `engine.types.GenerationOptions`.

    `user_instructions` are the user's instructions for every chat, which an answer is queued with. They belong to the
    user: a conversation has none.
    """

    persona: str | None = None
    instructions: str | None = None
    generation_options: Mapping[str, float] = field(default_factory=dict)
    user_instructions: str | None = None

    def __bool__(self) -> bool:
        """Return whether anything is set."""
        return bool(self.persona or self.instructions or self.generation_options)


class HasSettings(Protocol):
    """A row with chat settings: a conversation or a generation."""

    persona: str | None
    instructions: str | None
    generation_options: dict[str, float] | None


def read_from(owner: HasSettings | None) -> ChatSettings:
    """Return the chat settings of a conversation or a generation; empty settings for None."""
    if owner is None:
        return ChatSettings()
    user_instructions = owner.user_instructions if isinstance(owner, Generation) else None
    return ChatSettings(owner.persona, owner.instructions, owner.generation_options or {}, user_instructions)


def for_next_answer(conversation: Conversation, family: str, settings: ChatSettings | None = None) -> ChatSettings:
    """Return the settings with which the next answer of a conversation is queued, for a model of `family`.

    They are those of the conversation, or `settings`, with the user's instructions for every chat, if models of the
    family take them.
    """
    return replace(
        read_from(conversation) if settings is None else settings,
        user_instructions=user_settings.find_instructions(conversation.user_id)
        if takes_user_instructions(family)
        else None,
    )


def takes_user_instructions(family: str) -> bool:
    """Return whether models of a family follow instructions for every chat, and do not speak about themselves."""
    return family not in NO_INSTRUCTION_FAMILIES | PERSONA_LINE_FAMILIES


def apply_to(owner: HasSettings, settings: ChatSettings) -> None:
    """Set the chat settings of a conversation or a generation. The caller writes the row to the database."""
    owner.persona, owner.instructions = settings.persona, settings.instructions
    owner.generation_options = dict(settings.generation_options) or None
    if isinstance(owner, Generation):
        owner.user_instructions = settings.user_instructions


def update(conversation: Conversation, settings: ChatSettings) -> Conversation:
    """Store chat settings, which apply from the next answer on. Raises ConversationNotFoundError."""
    conversation_id, user_id = conversation.id, conversation.user_id
    with write_transaction() as tx:
        row = conversations.lock(tx, conversation_id, user_id)
        apply_to(row, settings)
        return row


def set_model(conversation: Conversation, choice: ModelChoice) -> Conversation:
    """Store the model and the preset that answer from now on. Raises ConversationNotFoundError."""
    conversation_id, user_id = conversation.id, conversation.user_id
    with write_transaction() as tx:
        row = conversations.lock(tx, conversation_id, user_id)
        row.model, row.preset = choice.model, choice.preset
        return row


def validate(  # noqa: PLR0913 The fields of the form, and what bounds them.
    name: str,
    instructions: str,
    option_texts: Mapping[str, str],
    *,
    max_answer_tokens: int,
    card: ModelCard | None,
    user_instructions: str = "",
) -> ChatSettings:
    """Check submitted chat settings and return them as they are stored; an empty field becomes None or is left out.

    `option_texts` are the typed numbers by the names of their options, `max_answer_tokens` is the longest answer on
    this site, and `card` is the model that will read the instructions, None if it is unknown; it may read
    `user_instructions` before them. Raises
    PersonaNameTooLongError, InstructionsTooLongError, InstructionsTooLargeForContextError or
    InvalidOptionError.
    """
    name = " ".join(clean_text(name).split())
    if len(name) > MAX_PERSONA_NAME_CHARS:
        raise PersonaNameTooLongError(most=MAX_PERSONA_NAME_CHARS)
    instructions = clean_text(instructions)
    if len(instructions) > MAX_INSTRUCTIONS_CHARS:
        raise InstructionsTooLongError(most=MAX_INSTRUCTIONS_CHARS, length=len(instructions))
    if card:
        require_fits_context(instructions, card, user_instructions)
    options = {
        key: _parse_option(key, typed, max_answer_tokens) for key, typed in option_texts.items() if typed.strip()
    }
    return ChatSettings(name or None, instructions or None, options)


def require_fits_context(instructions: str, card: ModelCard, user_instructions: str = "") -> None:
    """Raise InstructionsTooLargeForContextError if the instructions take more than half of the model's context window.

    `user_instructions` are those for every chat, which count if the model takes them. Models whose window is unknown
    accept all instructions.
    """
    entry = card.entry
    instruction_tokens = estimate_tokens(instructions, entry.family)
    if takes_user_instructions(entry.family):
        instruction_tokens += estimate_tokens(user_instructions, entry.family)
    if entry.context_tokens and instruction_tokens > entry.context_tokens // 2:
        raise InstructionsTooLargeForContextError(
            taken=instruction_tokens, context=entry.context_tokens, model=entry.title
        )


def estimate_tokens(instructions: str, family: str) -> int:
    """Estimate how many tokens of the context window the instructions take in a model of `family`."""
    lines = [line for line in instructions.splitlines() if line.strip()]
    if family in NO_INSTRUCTION_FAMILIES or not lines:
        return 0
    return -(-len(instructions) // CHARS_PER_TOKEN) + (
        TOKENS_PER_PERSONA_LINE * len(lines) if family in PERSONA_LINE_FAMILIES else 0
    )


def option_bounds(key: str, max_answer_tokens: int) -> NumericOption:
    """Return the label and the bounds of a generation option; the maximum length is bounded by `max_answer_tokens`."""
    option = NUMERIC_OPTIONS[key]
    return NumericOption(option.label, option.minimum, max_answer_tokens, True) if key == "max_new_tokens" else option


def _parse_option(key: str, typed: str, max_answer_tokens: int) -> float:
    """Return the number typed for the option `key`. Raises InvalidOptionError if it is no number or out of bounds."""
    option = option_bounds(key, max_answer_tokens)
    try:
        # Many languages write a decimal comma.
        value = float(typed.strip().replace(",", "."))
    except ValueError:
        value = float("nan")
    if not option.minimum <= value <= option.maximum or (option.is_integer and value != int(value)):
        raise InvalidOptionError(
            name=option.label, least=_format_bound(option.minimum), most=_format_bound(option.maximum)
        )
    return int(value) if option.is_integer else value


def _format_bound(value: float) -> str:
    return f"{value:g}" if value < 1e6 else f"{value:.0f}"
