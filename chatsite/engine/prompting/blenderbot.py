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
from typing import Any, ClassVar, cast

from chatsite.engine.prompting import EncodedTurn, encode_user_text
from chatsite.engine.prompting.fitting import EncodedRequest, TemplateTokens, assemble_prompt
from chatsite.engine.prompting.tokenizer_format import TokenizerFormat
from chatsite.engine.types import Prompt, Request
from chatsite.errors import ModelLoadError, load_reasons

WHITESPACE = re.compile(r"\s+")
SPACE_TOKEN = "Ġ"  # noqa: S105 - this is what byte-level vocabularies call a space.


@dataclass(frozen=True)
class BlenderbotFormat(TokenizerFormat):
    """The prompt format of BlenderBot: its encoder reads `context_tokens` ids, closed by `eos_id`."""

    eos_id: int

    family: ClassVar[str] = "blenderbot"
    answer_space: ClassVar[str] = " "

    @cached_property
    def delimiter_ids(self) -> tuple[int, int]:
        """The ids of two single spaces."""
        space = cast(int, self.tokenizer.convert_tokens_to_ids(SPACE_TOKEN))
        return (space, space)

    def build_prompt(self, request: Request, options: Mapping[str, Any]) -> Prompt:
        """Build at most `context_tokens` ids: the persona, the newest turns that fit, the end token."""
        encoded: list[EncodedTurn] = [self.encode_text(turn.text) for turn in request.turns]
        template = TemplateTokens(
            self.encode_persona(request.persona), separator_ids=self.delimiter_ids, closing_ids=(self.eos_id,)
        )
        return assemble_prompt(self, EncodedRequest(request, encoded, template, self.context_tokens), options)

    def normalize_text(self, text: str) -> str:
        """Return a turn with one space in front and no runs of spaces, which would be delimiters."""
        line = WHITESPACE.sub(" ", text).strip()
        return " " + line if line else ""

    def encode_persona(self, sentences: tuple[str, ...]) -> list[int]:
        """Return the ids of the pinned persona and the delimiter after it; none without a persona."""
        lines = [WHITESPACE.sub(" ", sentence).strip() for sentence in sentences]
        text = "\n".join(f"your persona: {line}" for line in lines if line)
        return [*encode_user_text(self.tokenizer, " " + text), *self.delimiter_ids] if text else []

    def require_valid_tokenizer(self) -> None:
        """Raise ModelLoadError unless the tokenizer encodes delimiters as the format needs."""
        hello, world = self.encode_text("hello") or [], self.encode_text("world") or []
        joined = encode_user_text(self.tokenizer, " hello   world")
        if joined != [*hello, *self.delimiter_ids, *world] or self.tokenizer.eos_token_id != self.eos_id:
            raise ModelLoadError(reason=load_reasons.TokenizerFormatError(name=self.model))
        super().require_valid_tokenizer()
