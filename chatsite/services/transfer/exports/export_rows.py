"""Rows of an export: conversations and messages as its queries give them to each format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row

# By the first part of the import source id.
PRODUCTS = {
    "chatgpt": "ChatGPT",
    "claude": "Claude",
    "deepseek": "DeepSeek",
    "gemini": "Gemini",
    "grok": "Grok",
}


@dataclass(frozen=True)
class ConversationRow:
    """A conversation without its messages: its CONVERSATION_COLUMNS of `export_queries`, and the names of its tags."""

    row: Row[Any]
    tags: Sequence[str]

    @property
    def product(self) -> str | None:
        """The product that wrote the answers of which the file named no model; None for other conversations."""
        return product_name(self.row.origin)


@dataclass(frozen=True)
class ReasoningRow:
    """What a model thought before an answer, with its length in tokens and in seconds, if they are known."""

    text: str
    token_count: int | None
    seconds: float | None


@dataclass(frozen=True)
class MessageRow:
    """A message: its columns with the parent's public id, its generations, and its text as far as it is written.

    `reasoning` is what a model thought before it wrote that. Each generation is a dictionary with the keys
    GENERATION_COLUMNS of `export_queries`.
    """

    row: Row[Any]
    generations: Sequence[dict[str, Any]]
    text: str
    reasoning: ReasoningRow | None = None

    @property
    def model(self) -> str | None:
        """The model that wrote an answer, also if nobody chose it; None for a question, or if it is not known."""
        if not self.generations:
            return None
        generation = self.generations[-1]
        model = generation["model"] or (generation["receipt"] or {}).get("model")
        return str(model) if model else None


def product_name(import_source_id: str | None) -> str | None:
    """Return the product that an imported conversation comes from, if it has only one model by that name."""
    return PRODUCTS.get((import_source_id or "").partition(":")[0])
