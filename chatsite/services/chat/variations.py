"""Variations: a regenerated answer that is shorter or simpler, because the model was told so for this one answer.

What the model is told is the last line of the instructions of that generation, and nothing else is stored: a line that
is one of the known sentences is a variation. So the prompt report shows what was read, and an export takes it along.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import replace

from sqlalchemy import select

from chatsite.database import db
from chatsite.models import Generation, Message
from chatsite.services.chat.chat_settings import ChatSettings

# Families that were trained to follow instructions. Others read them as a part of the text, or not at all.
INSTRUCTED_FAMILIES = frozenset({"chat"})
DEFAULT_LANGUAGE = "en"


class Variation(enum.StrEnum):
    """What another version of an answer shall be."""

    SHORTER = "shorter"
    SIMPLER = "simpler"


# In the language of the reader, because small models answer in the language of what they read last. A sentence that was
# ever used stays here, or answers written with it would seem to have other settings.
SENTENCES = {
    Variation.SHORTER: {
        "en": "Keep this answer short: only what matters most, in a few sentences.",
        "es": "Da una respuesta corta: solo lo más importante, en pocas frases.",
    },
    Variation.SIMPLER: {
        "en": "Use simple words in this answer, as for somebody who is new to the subject.",
        "es": "Usa palabras sencillas en esta respuesta, como para alguien que empieza.",
    },
}
VARIATIONS_BY_SENTENCE = {
    sentence: variation for variation, sentences in SENTENCES.items() for sentence in sentences.values()
}


def add_to(settings: ChatSettings, variation: Variation, language: str) -> ChatSettings:
    """Return the settings with the sentence of a variation at the end of the instructions."""
    sentences = SENTENCES[variation]
    return _with_sentence(settings, sentences.get(language, sentences[DEFAULT_LANGUAGE]))


def carry_over(instructions: str | None, settings: ChatSettings) -> ChatSettings:
    """Return `settings` with the variation that other instructions end with, if they do."""
    return _with_sentence(settings, _last_line(instructions)) if find(instructions) else settings


def load(messages: Iterable[Message]) -> dict[int, Variation]:
    """Return the variations among the answers of a page by message id; most pages have none and cost no query."""
    ids = [each.id for each in messages if each.generation and each.generation.settings_changed]
    if not ids:
        return {}
    query = select(Generation.message_id, Generation.instructions)
    rows = db.session.execute(query.where(Generation.message_id.in_(ids), Generation.is_latest))
    return {row.message_id: found for row in rows if (found := find(row.instructions))}


def find(instructions: str | None) -> Variation | None:
    """Return the variation that instructions end with, or None."""
    return VARIATIONS_BY_SENTENCE.get(_last_line(instructions))


def remove_from(instructions: str | None) -> str | None:
    """Return instructions without their variation, as they are stored: None if nothing is left."""
    if instructions is None or find(instructions) is None:
        return instructions
    return instructions.rpartition("\n")[0] or None


def have_same_effect(one: ChatSettings, other: ChatSettings) -> bool:
    """Return whether a model reads the same from both settings, but for variations, which are for one answer.

    Persona names may differ, since no model reads them.
    """
    return _read_by_model(one) == _read_by_model(other)


def _read_by_model(settings: ChatSettings) -> tuple[object, ...]:
    return settings.user_instructions, remove_from(settings.instructions), dict(settings.generation_options)


def _last_line(instructions: str | None) -> str:
    return (instructions or "").rpartition("\n")[2]


def _with_sentence(settings: ChatSettings, sentence: str) -> ChatSettings:
    base = remove_from(settings.instructions)
    return replace(settings, instructions=f"{base}\n{sentence}" if base else sentence)
