"""Models that go on with a text, such as GPT-2, and DialoGPT, which was trained on dialogues without names.

A model that only goes on with a text is shown a script:

    User: [question]
    Assistant: [answer]
    User: [newest question]
    Assistant:

With names before the turns it answers; without them it goes on with the user's own words. It does not know
where its part ends, so the answer ends where it would write the next name.

DialoGPT (Zhang et al., 2020) was trained on turns that end with the end-of-text token and no names at all; the
model's turn is the one after the newest end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from chatsite.engine.prompting import EncodedTurn, encode_user_text
from chatsite.engine.prompting.fitting import EncodedRequest, TemplateTokens, assemble_prompt, prompt_budget
from chatsite.engine.prompting.tokenizer_format import TokenizerFormat
from chatsite.engine.types import Prompt, Request

ROLE_MARKERS = {"user": "User:", "assistant": "Assistant:"}
# A line in a user's text that begins with a name would be a turn of its own.
FORGED_MARKER = re.compile(r"(?im)^(?=[^\S\n]*(?:user|assistant)[^\S\n]*:)")
LINE_ENDS = re.compile(r"\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]")


@dataclass(frozen=True)
class ContinuationFormat(TokenizerFormat):
    """The prompt format of a model that continues texts; prompt and answer share `context_tokens` ids."""

    family: ClassVar[str] = "continuation"
    answer_space: ClassVar[str] = " "
    stop_strings: ClassVar[tuple[str, ...]] = tuple(f"\n{name}" for name in ROLE_MARKERS.values())

    def build_prompt(self, request: Request, options: Mapping[str, Any]) -> Prompt:
        """Build a script: the persona, the newest turns with their names, and the model's name."""
        encoded: list[EncodedTurn] = [self.encode_text(turn.text) for turn in request.turns]
        persona_ids = self.encode_text("\n".join(request.persona))
        template = TemplateTokens(
            [*persona_ids, *self._paragraph_end_ids] if persona_ids else (),
            self._marker_ids,
            self._line_end_ids,
            self._answer_opening_ids,
        )
        budget_tokens = prompt_budget(request, self.context_tokens, self.encode_prefix(request.prefix))
        return assemble_prompt(self, EncodedRequest(request, encoded, template, budget_tokens), options)

    @cached_property
    def _marker_ids(self) -> dict[str, list[int]]:
        return {role: encode_user_text(self.tokenizer, name) for role, name in ROLE_MARKERS.items()}

    @cached_property
    def _line_end_ids(self) -> list[int]:
        return encode_user_text(self.tokenizer, "\n")

    @cached_property
    def _paragraph_end_ids(self) -> list[int]:
        return encode_user_text(self.tokenizer, "\n\n")

    @property
    def _answer_opening_ids(self) -> list[int]:
        """The ids that end the newest turn and name the model as the next to speak."""
        return [*self._line_end_ids, *self._marker_ids["assistant"]]

    def normalize_text(self, text: str) -> str:
        """Return a text with the space that follows a name; lines that begin like a turn are quoted."""
        return quote_turn_markers(text)


def quote_turn_markers(text: str) -> str:
    """Return a text as it stands after a name; a line that begins like a turn is quoted, so that it is none."""
    text = LINE_ENDS.sub("\n", text).strip()
    return " " + FORGED_MARKER.sub("> ", text) if text else ""


@dataclass(frozen=True)
class DialoGPTFormat(TokenizerFormat):
    """The prompt format of DialoGPT: each turn is followed by `eos_id`, and there is no persona."""

    eos_id: int

    family: ClassVar[str] = "dialogue"

    def build_prompt(self, request: Request, options: Mapping[str, Any]) -> Prompt:
        """Build the ids of the newest turns that leave room for the answer, each with its end."""
        encoded: list[EncodedTurn] = [self.encode_text(turn.text) for turn in request.turns]
        budget_tokens = prompt_budget(request, self.context_tokens, self.encode_prefix(request.prefix))
        template = TemplateTokens(separator_ids=(self.eos_id,), closing_ids=(self.eos_id,))
        return assemble_prompt(self, EncodedRequest(request, encoded, template, budget_tokens), options)
