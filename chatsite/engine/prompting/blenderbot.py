"""BlenderBot's own format, as its authors trained it (ParlAI, `projects/recipes`, `--delimiter '  '`).

    [persona] 228 228 [turn] 228 228 [turn] … 228 228 [newest turn] 2

Every turn is encoded by itself with one space in front; two tokens of a single space stand between turns, one
end token at the very end, and no token says who speaks. ParlAI keeps the last 128 tokens, cutting through
turns and losing the persona; here whole turns are dropped and the persona stays.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from chatsite.engine import Prompt, Request, reasons
from chatsite.engine.prompting import Encoded, healed, plain_ids, plain_pieces, require_split
from chatsite.engine.prompting.fitting import Frame, framed
from chatsite.engine.reasons import because
from chatsite.errors import ModelUnavailableError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

WHITESPACE = re.compile(r"\s+")
SPACE_TOKEN = "Ġ"  # noqa: S105 - this is what byte-level vocabularies call a space.


@dataclass(frozen=True)
class BlenderbotFormat:
    """`context` is how many token ids the encoder reads, `end` the id that closes them."""

    tokenizer: PreTrainedTokenizerBase
    model: str
    revision: str
    context: int
    end: int
    family: str = "blenderbot"
    stop: tuple[str, ...] = ()

    @cached_property
    def delimiter(self) -> tuple[int, int]:
        """Two single spaces."""
        space = cast(int, self.tokenizer.convert_tokens_to_ids(SPACE_TOKEN))
        return (space, space)

    def prompt(self, request: Request, options: Mapping[str, Any]) -> Prompt:
        """At most `context` ids: the persona, the newest turns that fit, the end token."""
        encoded: list[Encoded] = [self.segment(turn.text) for turn in request.turns]
        frame = Frame(self.persona(request.persona), after=self.delimiter, last=(self.end,))
        return framed(self, request, encoded, frame, self.context, self.pieces, options)

    def segment(self, text: str) -> list[int] | None:
        """The ids of one turn; runs of whitespace become one space, or they would look like the delimiter."""
        line = WHITESPACE.sub(" ", text).strip()
        return plain_ids(self.tokenizer, " " + line) if line else None

    def pieces(self, text: str, tokens: int) -> tuple[str, ...]:
        """How the last `tokens` tokens of a turn split what is read of it, the space in front included."""
        return plain_pieces(self.tokenizer, " " + WHITESPACE.sub(" ", text).strip(), tokens)

    def persona(self, sentences: tuple[str, ...]) -> list[int]:
        """The ids of the pinned persona and the delimiter after it, or nothing without a persona."""
        lines = [WHITESPACE.sub(" ", sentence).strip() for sentence in sentences]
        text = "\n".join(f"your persona: {line}" for line in lines if line)
        return [*plain_ids(self.tokenizer, " " + text), *self.delimiter] if text else []

    def prefix(self, text: str) -> list[int]:
        """The ids of an answer's beginning, with the space in front that every turn has."""
        return plain_ids(self.tokenizer, " " + healed(text)) if text else []

    def check(self) -> None:
        """Raise ModelUnavailableError unless the tokenizer does what the format rests on."""
        hello, world = self.segment("hello") or [], self.segment("world") or []
        joined = plain_ids(self.tokenizer, " hello   world")
        if joined != [*hello, *self.delimiter, *world] or self.tokenizer.eos_token_id != self.end:
            raise ModelUnavailableError(reason=because(reasons.OTHER_WRITING, name=self.model))
        require_split(self.tokenizer, self.model)
