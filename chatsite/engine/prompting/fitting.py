"""Formats that put fixed ids around whole turns: fitting them into a budget, and reporting what was kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from chatsite.engine.prompting import EncodedTurn, describe_turns, longest_suffix, require_newest_text
from chatsite.engine.types import Prompt, PromptReport, Request
from chatsite.errors import PromptTooLongError

ROLES = ("user", "assistant")


@dataclass(frozen=True)
class TemplateTokens:
    """The ids around the turns.

    `pinned_ids` stand in front of all, `role_prefixes` before a text of each role, `separator_ids` behind it, but
    `closing_ids` behind the newest one.
    """

    pinned_ids: Sequence[int] = ()
    role_prefixes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    separator_ids: Sequence[int] = ()
    closing_ids: Sequence[int] = ()

    def prefix_for(self, role: str) -> Sequence[int]:
        """Return the ids that stand before a text of a role."""
        return self.role_prefixes.get(role, ())

    @property
    def mean_overhead(self) -> float:
        """The number of ids that come with a turn's text, in the mean over a question and an answer."""
        return len(self.separator_ids) + sum(len(self.prefix_for(role)) for role in ROLES) / len(ROLES)


@dataclass(frozen=True)
class EncodedRequest:
    """A request whose turns are ids already (`encoded`, oldest first), with the frame and the room for its prompt."""

    request: Request
    encoded: Sequence[EncodedTurn]
    template: TemplateTokens
    budget_tokens: int


@dataclass(frozen=True)
class FittedPrompt:
    """The `ids` of a prompt, the index of the first turn that it keeps, and how many ids of the newest text it has."""

    ids: tuple[int, ...]
    first_kept: int
    newest_tokens: int


class ReportedFormat(Protocol):
    """What a prompt report needs to know of a format."""

    @property
    def model(self) -> str: ...
    @property
    def revision(self) -> str: ...
    @property
    def family(self) -> str: ...
    def split_text(self, text: str, max_tokens: int) -> tuple[str, ...]: ...


def prompt_budget(request: Request, context_tokens: int, prefix_ids: Sequence[int]) -> int:
    """Return the tokens left for the prompt by what is written of the answer and what may still be written.

    A large `max_new_tokens` takes at most half of the context: an answer may end early, a question must be read.
    """
    tokens_left = context_tokens - len(prefix_ids)
    return tokens_left - min(request.options.max_new_tokens, tokens_left // 2)


def fit_turns(conversation: EncodedRequest) -> FittedPrompt:
    """Fit the pinned ids and the newest turns into the budget.

    Earlier turns are kept whole or not at all; of the newest one the end is kept if all of it is too long. Raises
    EmptyMessageError if the newest turn has no text, PromptTooLongError if nothing of it fits.
    """
    encoded, template = conversation.encoded, conversation.template
    turns = conversation.request.turns
    newest, newest_prefix = require_newest_text(encoded), template.prefix_for(turns[-1].role)
    frame_tokens = len(template.pinned_ids) + len(newest_prefix) + len(template.closing_ids)
    tokens_left = conversation.budget_tokens - frame_tokens
    if tokens_left < 1:
        raise PromptTooLongError
    # The end of a question says more of what is asked than its beginning.
    kept_newest = newest[-tokens_left:]
    earlier = list(zip((template.prefix_for(turn.role) for turn in turns[:-1]), encoded[:-1], strict=True))
    costs = [len(role_prefix) + len(ids) + len(template.separator_ids) if ids else None for role_prefix, ids in earlier]
    first_kept = longest_suffix(costs, tokens_left - len(kept_newest))
    body = [
        token
        for role_prefix, ids in earlier[first_kept:]
        if ids
        for token in (*role_prefix, *ids, *template.separator_ids)
    ]
    ids = (*template.pinned_ids, *body, *newest_prefix, *kept_newest, *template.closing_ids)
    return FittedPrompt(ids, first_kept, len(kept_newest))


def assemble_prompt(prompt_format: ReportedFormat, conversation: EncodedRequest, options: Mapping[str, Any]) -> Prompt:
    """Build the prompt that `fit_turns` makes of a request, with its report.

    `options` are the decoding settings that will be used. A frame without pinned ids shows no persona. Raises
    EmptyMessageError, PromptTooLongError.
    """
    request, template = conversation.request, conversation.template
    fitted = fit_turns(conversation)
    report = PromptReport(
        model=prompt_format.model,
        revision=prompt_format.revision,
        family=prompt_format.family,
        budget_tokens=conversation.budget_tokens,
        used_tokens=len(fitted.ids),
        turns=describe_turns(
            request,
            conversation.encoded,
            fitted.first_kept,
            newest_tokens=fitted.newest_tokens,
            split_tokens=prompt_format.split_text,
        ),
        persona=request.persona if template.pinned_ids else (),
        options=dict(options),
        overhead_tokens=template.mean_overhead,
    )
    return Prompt(fitted.ids, report)
