"""Text-to-text models (T5, FLAN-T5): one task a message, and the answer is its result.

They were trained on pairs of a task and a result (Raffel et al., 2020), never on conversations. So the model is shown
the newest message alone, closed by the end token, and the prompt report says that no earlier turn was kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from chatsite.engine.prompting import EncodedTurn, describe_turns, require_newest_text
from chatsite.engine.prompting.tokenizer_format import TokenizerFormat
from chatsite.engine.types import Prompt, PromptReport, Request
from chatsite.errors import ModelLoadError, load_reasons


@dataclass(frozen=True)
class TextToTextFormat(TokenizerFormat):
    """The prompt format of T5: its encoder reads `context_tokens` ids, closed by `eos_id`."""

    eos_id: int

    family: ClassVar[str] = "text-to-text"

    def build_prompt(self, request: Request, options: Mapping[str, Any]) -> Prompt:
        """Build the newest turn, or the end of it, and the end token."""
        newest = self.encode_text(request.turns[-1].text)
        # Earlier turns are not read at all, but the prompt report says how long they are.
        earlier: list[EncodedTurn] = [self.encode_text(turn.text) for turn in request.turns[:-1]]
        kept_newest = require_newest_text([newest])[-(self.context_tokens - 1) :]
        ids = (*kept_newest, self.eos_id)
        turns = describe_turns(
            request, [*earlier, newest], len(earlier), newest_tokens=len(kept_newest), split_tokens=self.split_text
        )
        report = PromptReport(
            self.model,
            self.revision,
            self.family,
            self.context_tokens,
            len(ids),
            turns,
            (),
            dict(options),
            overhead_tokens=1,
        )
        return Prompt(ids, report)

    def require_valid_tokenizer(self) -> None:
        """Raise ModelLoadError unless `eos_id` ends a text and no text can forge it."""
        if self.tokenizer(".", add_special_tokens=True)["input_ids"][-1] != self.eos_id:
            raise ModelLoadError(reason=load_reasons.TokenizerEndingError(name=self.model))
        super().require_valid_tokenizer()
