"""What the formats have in common that encode each text by itself with a tokenizer of transformers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from chatsite.engine.prompting import (
    encode_user_text,
    require_unforgeable_special_tokens,
    split_user_text,
    strip_trailing_space,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class TokenizerFormat:
    """Base of the formats that encode each text apart from the tokens around it.

    `model` and `revision` are what a prompt report says of the weights; `context_tokens` is how many token ids the
    model reads at once.
    """

    tokenizer: PreTrainedTokenizerBase
    model: str
    revision: str
    context_tokens: int

    family: ClassVar[str] = ""
    stop_strings: ClassVar[tuple[str, ...]] = ()
    # What stands between the tokens before an answer and its first word, as the model was trained to write it.
    answer_space: ClassVar[str] = ""

    def normalize_text(self, text: str) -> str:
        """Return a turn's text as the model reads it; empty if it has none."""
        return text.strip()

    def encode_text(self, text: str) -> list[int] | None:
        """Return the ids of one turn's text, or None if the tokenizer sees nothing in it."""
        normalized = self.normalize_text(text)
        return encode_user_text(self.tokenizer, normalized) or None if normalized else None

    def split_text(self, text: str, max_tokens: int) -> tuple[str, ...]:
        """Split a turn's text, as the model reads it, into the texts of its last `max_tokens` tokens."""
        return split_user_text(self.tokenizer, self.normalize_text(text), max_tokens)

    def encode_prefix(self, text: str) -> list[int]:
        """Return the ids of an answer's beginning, which follow the prompt; none for no text."""
        return encode_user_text(self.tokenizer, self.answer_space + strip_trailing_space(text)) if text else []

    def reasoning_end_ids(self) -> tuple[int, ...]:
        """Return none: only models with a chat template think before they answer."""
        return ()

    def require_valid_tokenizer(self) -> None:
        """Raise ModelLoadError if a text can forge one of the tokenizer's special tokens."""
        require_unforgeable_special_tokens(self.tokenizer, self.model)
