"""Models with a chat template: the system prompt, then turns with their roles.

The template is rendered with a place-holder for each text, and the texts are encoded apart from it. So no
text can forge a turn, whatever special tokens it spells, and the tokens that belong to the template are the
template's own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from chatsite.engine import Prompt, Receipt, Request, Turn, reasons
from chatsite.engine.prompting import Encoded, healed, plain_ids, plain_pieces, require_split, require_text, seen
from chatsite.engine.prompting.fitting import answer_budget
from chatsite.engine.reasons import because
from chatsite.errors import ModelUnavailableError, PromptTooLongError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Private-use characters around a number; no template contains them, and no text is ever rendered.
PLACE = re.compile("\ue000([0-9]+)\ue001")
SYSTEM = 0


@dataclass(frozen=True)
class ChatFormat:
    """`context` is how many token ids the model reads at once, prompt and answer together."""

    tokenizer: PreTrainedTokenizerBase
    model: str
    revision: str
    context: int
    family: str = "chat"
    stop: tuple[str, ...] = ()

    def prompt(self, request: Request, options: Mapping[str, Any]) -> Prompt:
        """The system prompt, the newest turns that leave room for the answer, the generation prompt."""
        encoded: list[Encoded] = [self.text_ids(turn.text) for turn in request.turns]
        newest = require_text(encoded)
        system = self.text_ids("\n".join(request.persona)) or []
        budget = answer_budget(request, self.context, self.prefix(request.prefix))
        start = self._start(request, encoded, system, budget)
        room = budget - self._size(request, encoded, system, start) + len(newest)
        if room < 1:
            raise PromptTooLongError
        last = newest[-room:]
        ids = tuple(self._render(request, [*encoded[:-1], last], system, start))
        turns = seen(request, encoded, start, len(last), self.pieces)
        receipt = Receipt(
            self.model, self.revision, self.family, budget, len(ids), turns, request.persona, dict(options), self.frame
        )
        return Prompt(ids, receipt)

    @cached_property
    def frame(self) -> float:
        """How many ids the template puts around a turn: half of what it puts around one exchange more."""
        exchange = Turn("user", "x"), Turn("assistant", "x")
        requests = [Request(0, (*exchange * times, exchange[0])) for times in (0, 1)]
        short, long = (self._size(each, [[0]] * len(each.turns), [], 0) for each in requests)
        return (long - short - len(exchange)) / len(exchange)

    def _start(self, request: Request, encoded: Sequence[Encoded], system: Sequence[int], budget: int) -> int:
        """The index of the first turn that is kept.

        A conversation that lost its beginning begins with a question.
        """
        turns = enumerate(request.turns)
        starts = [i for i, turn in turns if encoded[i] and (turn.role == "user" or not any(encoded[:i]))]
        low, high = 0, len(starts) - 1
        while low < high:
            middle = (low + high) // 2
            if self._size(request, encoded, system, starts[middle]) <= budget:
                high = middle
            else:
                low = middle + 1
        return starts[high]

    def _size(self, request: Request, encoded: Sequence[Encoded], system: Sequence[int], start: int) -> int:
        return len(self._render(request, encoded, system, start))

    def _render(self, request: Request, encoded: Sequence[Encoded], system: Sequence[int], start: int) -> list[int]:
        """The ids of the template's own text, with those of the texts in their places."""
        texts = {SYSTEM: system} | {i + 1: ids or () for i, ids in enumerate(encoded) if i >= start}
        roles = ["system", *(turn.role for turn in request.turns)]
        messages = [{"role": roles[i], "content": f"\ue000{i}\ue001"} for i in texts if texts[i]]
        parts = PLACE.split(self._template(messages))
        frame = {text: self._template_ids(text) for text in set(parts[::2])}
        ids = list(frame[parts[0]])
        for place, template in zip(parts[1::2], parts[2::2], strict=True):
            ids += [*texts[int(place)], *frame[template]]
        return ids

    def _template(self, messages: list[dict[str, str]]) -> str:
        rendered = self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        return cast(str, rendered)

    def _template_ids(self, text: str) -> list[int]:
        encoded = self.tokenizer(text, add_special_tokens=False, split_special_tokens=False, verbose=False)
        return cast(list[int], encoded["input_ids"])

    def text_ids(self, text: str) -> list[int] | None:
        """The ids of one turn's text without the whitespace around it, or None when there is nothing else."""
        return plain_ids(self.tokenizer, text.strip()) if text.strip() else None

    def pieces(self, text: str, tokens: int) -> tuple[str, ...]:
        """How the last `tokens` tokens of a turn split its text."""
        return plain_pieces(self.tokenizer, text.strip(), tokens)

    def prefix(self, text: str) -> list[int]:
        """The ids of an answer's beginning, which follow the generation prompt."""
        return plain_ids(self.tokenizer, healed(text)) if text else []

    def check(self) -> None:
        """Raise ModelUnavailableError unless the template shows what is said and no text can forge a turn."""
        if not self.tokenizer.chat_template:
            raise ModelUnavailableError(reason=because(reasons.NO_TEMPLATE, name=self.model))
        roles = enumerate(("system", "user"))
        messages = [{"role": role, "content": f"\ue000{i}\ue001"} for i, role in roles]
        if PLACE.findall(self._template(messages)) != ["0", "1"]:
            raise ModelUnavailableError(reason=because(reasons.EMPTY_TEMPLATE, name=self.model))
        require_split(self.tokenizer, self.model)
