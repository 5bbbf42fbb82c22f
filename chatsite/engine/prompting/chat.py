"""Models with a chat template: the system prompt, then turns with their roles.

The template is rendered with a place-holder for each text, and the texts are encoded apart from it. So no
text can forge a turn, whatever special tokens it spells, and the tokens that belong to the template are the
template's own.

A template may open the reasoning of a model that thinks before it answers. Where an answer is to be continued, or must
be quick, it is closed again: no reasoning is part of a prompt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, cast

from chatsite.engine.prompting import EncodedTurn, describe_turns, require_newest_text
from chatsite.engine.prompting.fitting import prompt_budget
from chatsite.engine.prompting.tokenizer_format import TokenizerFormat
from chatsite.engine.reasoning import CLOSE_TAG, OPEN_TAG, begins_inside
from chatsite.engine.types import Prompt, PromptReport, Request, Turn
from chatsite.errors import ModelLoadError, PromptTooLongError, load_reasons

# Private-use characters around a number; no template contains them, and no text is ever rendered.
PLACEHOLDER = re.compile("\ue000([0-9]+)\ue001")
SYSTEM_INDEX = 0
# As templates of models that think write it, and as the models were trained to go on after it.
REASONING_END = f"\n{CLOSE_TAG}\n\n"

# The ids of texts that stand in each prompt of a request, by the number of their placeholder.
PinnedTexts = Mapping[int, Sequence[int]]


@dataclass(frozen=True)
class ChatFormat(TokenizerFormat):
    """The prompt format of a chat template; prompt and answer share `context_tokens` ids."""

    family: ClassVar[str] = "chat"

    def build_prompt(self, request: Request, options: Mapping[str, Any]) -> Prompt:
        """Build the system prompt, the newest turns that leave room for the answer, and the generation prompt."""
        encoded: list[EncodedTurn] = [self.encode_text(turn.text) for turn in request.turns]
        newest = require_newest_text(encoded)
        budget_tokens = prompt_budget(request, self.context_tokens, self.encode_prefix(request.prefix))
        pinned = {SYSTEM_INDEX: self.encode_text("\n".join(request.persona)) or []}
        if request.prefix and request.reasoning:
            thought = self.encode_text(request.reasoning) or []
            # The end of a long thought says more than its beginning, and the question needs room.
            pinned[_reasoning_index(request)] = thought[-max(1, budget_tokens // 2) :]
        first_kept = self._first_kept_turn(request, encoded, pinned, budget_tokens=budget_tokens)
        tokens_left = budget_tokens - self._rendered_size(request, encoded, pinned, first_kept=first_kept) + len(newest)
        if tokens_left < 1:
            raise PromptTooLongError
        kept_newest = newest[-tokens_left:]
        ids = tuple(self._render_ids(request, [*encoded[:-1], kept_newest], pinned, first_kept=first_kept))
        turns = describe_turns(
            request, encoded, first_kept, newest_tokens=len(kept_newest), split_tokens=self.split_text
        )
        report = PromptReport(
            self.model,
            self.revision,
            self.family,
            budget_tokens,
            len(ids),
            turns,
            request.persona,
            dict(options),
            self.turn_overhead,
        )
        return Prompt(ids, report, opens_reasoning=begins_inside(self._prompt_end(request)))

    def reasoning_end_ids(self) -> tuple[int, ...]:
        """Return the ids of the closing tag, if the template knows of reasoning."""
        return tuple(self._encode_template(REASONING_END)) if OPEN_TAG in str(self.tokenizer.chat_template) else ()

    @cached_property
    def turn_overhead(self) -> float:
        """The ids that the template puts around a turn: half of those that one more exchange costs."""
        exchange = Turn("user", "x"), Turn("assistant", "x")
        requests = [Request(0, (*exchange * times, exchange[0])) for times in (0, 1)]
        short, long = (
            self._rendered_size(request, [[0]] * len(request.turns), {}, first_kept=0) for request in requests
        )
        return (long - short - len(exchange)) / len(exchange)

    def _first_kept_turn(
        self, request: Request, encoded: Sequence[EncodedTurn], pinned: PinnedTexts, *, budget_tokens: int
    ) -> int:
        """Return the index of the first turn that is kept, by bisection.

        A conversation that lost its beginning begins with a question.
        """
        turns = enumerate(request.turns)
        candidates = [i for i, turn in turns if encoded[i] and (turn.role == "user" or not any(encoded[:i]))]
        low, high = 0, len(candidates) - 1
        while low < high:
            middle = (low + high) // 2
            if self._rendered_size(request, encoded, pinned, first_kept=candidates[middle]) <= budget_tokens:
                high = middle
            else:
                low = middle + 1
        return candidates[high]

    def _rendered_size(
        self, request: Request, encoded: Sequence[EncodedTurn], pinned: PinnedTexts, *, first_kept: int
    ) -> int:
        return len(self._render_ids(request, encoded, pinned, first_kept=first_kept))

    def _render_ids(
        self, request: Request, encoded: Sequence[EncodedTurn], pinned: PinnedTexts, *, first_kept: int
    ) -> list[int]:
        """Return the ids of the template's own text, with the ids of the texts in their places."""
        texts = {**pinned, **{i + 1: ids or () for i, ids in enumerate(encoded) if i >= first_kept}}
        roles = ["system", *(turn.role for turn in request.turns)]
        messages = [{"role": role, "content": _placeholder(i)} for i, role in enumerate(roles) if texts.get(i)]
        parts = PLACEHOLDER.split(self._render_prompt(request, messages))
        template_ids = {text: self._encode_template(text) for text in set(parts[::2])}
        ids = list(template_ids[parts[0]])
        for index, template in zip(parts[1::2], parts[2::2], strict=True):
            ids += [*texts[int(index)], *template_ids[template]]
        return ids

    def _prompt_end(self, request: Request) -> str:
        """Return what the template puts behind the newest turn. It does not depend on the turns."""
        messages = [{"role": "user", "content": "\ue0001\ue001"}]
        return PLACEHOLDER.split(self._render_prompt(request, messages))[-1]

    def _render_prompt(self, request: Request, messages: list[dict[str, str]]) -> str:
        rendered = self._render_template(messages, may_think=not request.is_background)
        # What is written already belongs to the answer, so the model has no more to think about.
        is_quick = request.is_background or bool(request.prefix)
        is_open = begins_inside(PLACEHOLDER.split(rendered)[-1])
        if request.prefix and request.reasoning:
            opening = "" if is_open else f"{OPEN_TAG}\n"
            return f"{rendered}{opening}{_placeholder(_reasoning_index(request))}{REASONING_END}"
        return rendered + REASONING_END if is_quick and is_open else rendered

    def _render_template(self, messages: list[dict[str, str]], *, may_think: bool = True) -> str:
        # As the templates of Qwen3 and others call it; those of models that do not think pass over it.
        settings: dict[str, Any] = {} if may_think else {"enable_thinking": False}
        rendered = self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False, **settings)
        return cast(str, rendered)

    def _encode_template(self, text: str) -> list[int]:
        encoded = self.tokenizer(text, add_special_tokens=False, split_special_tokens=False, verbose=False)
        return cast(list[int], encoded["input_ids"])

    def require_valid_tokenizer(self) -> None:
        """Raise ModelLoadError unless the template shows the texts and no text can forge a turn."""
        if not self.tokenizer.chat_template:
            raise ModelLoadError(reason=load_reasons.NoChatTemplateError(name=self.model))
        roles = enumerate(("system", "user"))
        messages = [{"role": role, "content": f"\ue000{i}\ue001"} for i, role in roles]
        if PLACEHOLDER.findall(self._render_template(messages)) != ["0", "1"]:
            raise ModelLoadError(reason=load_reasons.EmptyChatTemplateError(name=self.model))
        super().require_valid_tokenizer()


def _placeholder(index: int) -> str:
    return f"\ue000{index}\ue001"


def _reasoning_index(request: Request) -> int:
    """Return the number of the placeholder of the reasoning, which follows those of the turns."""
    return len(request.turns) + 1
