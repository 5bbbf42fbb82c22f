"""Formats that put fixed ids around whole turns: what fits, and the receipt that tells of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from chatsite.engine import Prompt, Receipt, Request
from chatsite.engine.prompting import Encoded, Split, longest_suffix, require_text, seen
from chatsite.errors import PromptTooLongError

ROLES = ("user", "assistant")


@dataclass(frozen=True)
class Frame:
    """The ids around the turns.

    `head` is pinned in front of all, `before` stands before a text of each role and `after` behind it, but `last`
    behind the newest one.
    """

    head: Sequence[int] = ()
    before: Mapping[str, Sequence[int]] = field(default_factory=dict)
    after: Sequence[int] = ()
    last: Sequence[int] = ()

    def opening(self, role: str) -> Sequence[int]:
        """What stands before a text of that role."""
        return self.before.get(role, ())

    @property
    def mean(self) -> float:
        """How many ids come with a turn's text, in the mean over a question and an answer."""
        return len(self.after) + sum(len(self.opening(role)) for role in ROLES) / len(ROLES)


class Described(Protocol):
    """What a receipt says of the model and of how it is spoken to."""

    @property
    def model(self) -> str: ...
    @property
    def revision(self) -> str: ...
    @property
    def family(self) -> str: ...


def answer_budget(request: Request, context: int, prefix: Sequence[int]) -> int:
    """The tokens left for the prompt by what is written of the answer and by what may still be written.

    A large `max_new_tokens` takes at most half of the context: an answer may end early, a question must be read.
    """
    room = context - len(prefix)
    return room - min(request.options.max_new_tokens, room // 2)


def fit(request: Request, encoded: Sequence[Encoded], frame: Frame, budget: int) -> tuple[tuple[int, ...], int, int]:
    """At most `budget` ids: the frame's head and the newest turns that fit, whole; the newest one is cut if it must be.

    Gives the ids, the index of the first turn that is kept, and how many ids of the newest text are. Raises
    EmptyMessageError, PromptTooLongError.
    """
    newest, opening = require_text(encoded), frame.opening(request.turns[-1].role)
    room = budget - len(frame.head) - len(opening) - len(frame.last)
    if room < 1:
        raise PromptTooLongError
    last = newest[-room:]
    earlier = list(zip((frame.opening(turn.role) for turn in request.turns[:-1]), encoded[:-1], strict=True))
    costs = [len(before) + len(ids) + len(frame.after) if ids else None for before, ids in earlier]
    start = longest_suffix(costs, room - len(last))
    body = [token for before, ids in earlier[start:] if ids for token in (*before, *ids, *frame.after)]
    return (*frame.head, *body, *opening, *last, *frame.last), start, len(last)


def framed(
    reads: Described,
    request: Request,
    encoded: Sequence[Encoded],
    frame: Frame,
    budget: int,
    split: Split,
    options: Mapping[str, Any],
) -> Prompt:
    """The prompt that `fit` makes of a request, and its receipt; a frame without a head shows no persona."""
    ids, start, newest = fit(request, encoded, frame, budget)
    turns = seen(request, encoded, start, newest, split)
    persona = request.persona if frame.head else ()
    receipt = Receipt(
        reads.model, reads.revision, reads.family, budget, len(ids), turns, persona, dict(options), frame.mean
    )
    return Prompt(ids, receipt)
