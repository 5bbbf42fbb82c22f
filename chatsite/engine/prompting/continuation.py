"""Models that go on with a text, such as GPT-2, and DialoGPT, which was trained on dialogues without names.

A model that only goes on with a text is shown a script:

    User: [question]
    Assistant: [answer]
    User: [newest question]
    Assistant:

With names before the turns it answers; without them it goes on with the visitor's own words. It does not know
where its part ends, so the answer ends where it would write the next name.

DialoGPT (Zhang et al., 2020) was trained on turns that end with the end-of-text token and no names at all; the
model's turn is the one after the newest end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from chatsite.engine import Prompt, Request
from chatsite.engine.prompting import Encoded, healed, plain_ids, plain_pieces, require_split
from chatsite.engine.prompting.fitting import Frame, answer_budget, framed

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

NAMES = {"user": "User:", "assistant": "Assistant:"}
# A line in a visitor's text that begins with a name would be a turn of its own.
FORGED = re.compile(r"(?im)^(?=[^\S\n]*(?:user|assistant)[^\S\n]*:)")
LINE_ENDS = re.compile(r"\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]")


@dataclass(frozen=True)
class ContinuationFormat:
    """`context` is how many token ids the model reads at once, prompt and answer together."""

    tokenizer: PreTrainedTokenizerBase
    model: str
    revision: str
    context: int
    family: str = "continuation"
    stop: tuple[str, ...] = tuple(f"\n{name}" for name in NAMES.values())

    def prompt(self, request: Request, options: Mapping[str, Any]) -> Prompt:
        """The persona as a first paragraph, the newest turns with their names, the name of who is to speak."""
        encoded: list[Encoded] = [self.text_ids(turn.text) for turn in request.turns]
        persona = self.text_ids("\n".join(request.persona))
        frame = Frame([*persona, *self._paragraph] if persona else (), self._names, self._line, self._turn)
        budget = answer_budget(request, self.context, self.prefix(request.prefix))
        return framed(self, request, encoded, frame, budget, self.pieces, options)

    @cached_property
    def _names(self) -> dict[str, list[int]]:
        return {role: plain_ids(self.tokenizer, name) for role, name in NAMES.items()}

    @cached_property
    def _line(self) -> list[int]:
        return plain_ids(self.tokenizer, "\n")

    @cached_property
    def _paragraph(self) -> list[int]:
        return plain_ids(self.tokenizer, "\n\n")

    @property
    def _turn(self) -> list[int]:
        """The end of the newest turn and the model's name."""
        return [*self._line, *self._names["assistant"]]

    def text_ids(self, text: str) -> list[int] | None:
        """The ids of one turn's text with the space that follows a name, or None when there is nothing else."""
        line = spoken(text)
        return plain_ids(self.tokenizer, line) if line else None

    def pieces(self, text: str, tokens: int) -> tuple[str, ...]:
        """How the last `tokens` tokens of a turn split what is read of it."""
        return plain_pieces(self.tokenizer, spoken(text), tokens)

    def prefix(self, text: str) -> list[int]:
        """The ids of an answer's beginning, with the space that follows a name."""
        return plain_ids(self.tokenizer, " " + healed(text)) if text else []

    def check(self) -> None:
        """Raise ModelUnavailableError if a text can forge the end of text."""
        require_split(self.tokenizer, self.model)


def spoken(text: str) -> str:
    """A text as it stands after a name; a line of it that begins like a turn is quoted, so that it is none."""
    text = LINE_ENDS.sub("\n", text).strip()
    return " " + FORGED.sub("> ", text) if text else ""


@dataclass(frozen=True)
class DialogueFormat:
    """DialoGPT's own format: each turn followed by `end`; a persona is not part of it."""

    tokenizer: PreTrainedTokenizerBase
    model: str
    revision: str
    context: int
    end: int
    family: str = "dialogue"
    stop: tuple[str, ...] = ()

    def prompt(self, request: Request, options: Mapping[str, Any]) -> Prompt:
        """The newest turns that leave room for the answer, each with its end."""
        encoded: list[Encoded] = [self.text_ids(turn.text) for turn in request.turns]
        budget = answer_budget(request, self.context, self.prefix(request.prefix))
        frame = Frame(after=(self.end,), last=(self.end,))
        return framed(self, request, encoded, frame, budget, self.pieces, options)

    def text_ids(self, text: str) -> list[int] | None:
        """The ids of one turn's text, or None when there is none."""
        return plain_ids(self.tokenizer, text.strip()) if text.strip() else None

    def pieces(self, text: str, tokens: int) -> tuple[str, ...]:
        """How the last `tokens` tokens of a turn split its text."""
        return plain_pieces(self.tokenizer, text.strip(), tokens)

    def prefix(self, text: str) -> list[int]:
        """The ids of an answer's beginning."""
        return plain_ids(self.tokenizer, healed(text)) if text else []

    def check(self) -> None:
        """Raise ModelUnavailableError if a text can forge the end of a turn."""
        require_split(self.tokenizer, self.model)
