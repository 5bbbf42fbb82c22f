"""Text-to-text models (T5, FLAN-T5): one task a message, and the answer is its result.

They were trained on pairs of a task and a result (Raffel et al., 2020), never on conversations. So the model is
shown the newest message alone, closed by the end token, and the receipt says that no earlier turn was kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chatsite.engine import Prompt, Receipt, Request, reasons
from chatsite.engine.prompting import Encoded, healed, plain_ids, plain_pieces, require_split, require_text, seen
from chatsite.engine.reasons import because
from chatsite.errors import ModelUnavailableError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class TextToTextFormat:
    """`context` is how many token ids the encoder reads, `end` the id that closes them."""

    tokenizer: PreTrainedTokenizerBase
    model: str
    revision: str
    context: int
    end: int
    family: str = "text-to-text"
    stop: tuple[str, ...] = ()

    def prompt(self, request: Request, options: Mapping[str, Any]) -> Prompt:
        """The newest turn, or the end of it, and the end token."""
        newest = self.text_ids(request.turns[-1].text)
        # Earlier turns are not read at all, but the receipt says how long they are.
        earlier: list[Encoded] = [self.text_ids(turn.text) for turn in request.turns[:-1]]
        last = require_text([newest])[-(self.context - 1) :]
        ids = (*last, self.end)
        turns = seen(request, [*earlier, newest], len(earlier), len(last), self.pieces)
        receipt = Receipt(
            self.model, self.revision, self.family, self.context, len(ids), turns, (), dict(options), frame=1
        )
        return Prompt(ids, receipt)

    def text_ids(self, text: str) -> list[int] | None:
        """The ids of one message, or None when there is nothing in it that the tokenizer sees."""
        return plain_ids(self.tokenizer, text.strip()) or None if text.strip() else None

    def pieces(self, text: str, tokens: int) -> tuple[str, ...]:
        """How the last `tokens` tokens of a message split it."""
        return plain_pieces(self.tokenizer, text.strip(), tokens)

    def prefix(self, text: str) -> list[int]:
        """The ids of an answer's beginning."""
        return plain_ids(self.tokenizer, healed(text)) if text else []

    def check(self) -> None:
        """Raise ModelUnavailableError unless `end` is what ends a text for the tokenizer, and no text can forge it."""
        if self.tokenizer(".", add_special_tokens=True)["input_ids"][-1] != self.end:
            raise ModelUnavailableError(reason=because(reasons.OTHER_ENDING, name=self.model))
        require_split(self.tokenizer, self.model)
