"""Text in, text out: what the runner asks of a model and what it gets back.

An engine knows no user, no database and no page. It takes requests at any time, works on as many of them at
once as it can, and hands over what happened since it was last asked. It owns its threads; `submit`, `cancel`
and `events` are called by one thread, the runner's, and never wait for the model.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class Turn:
    """One turn of the conversation: `role` is `user` or `assistant`."""

    role: str
    text: str


class Preset(enum.StrEnum):
    """A manner of choosing tokens that every family knows in its own numbers."""

    PRECISE = "precise"
    BALANCED = "balanced"
    CREATIVE = "creative"


@dataclass(frozen=True)
class Options:
    """How to choose tokens. None leaves a choice to `preset`, and that to the model's own published decoding.

    `max_new_tokens` bounds what is written for this request (a prefix does not count), `seconds` the time
    from the start of the work on it. `temperature` 0 is greedy. `seed` makes sampling repeatable. With more than one
    of `beams` nothing is drawn: so many beginnings are followed at once, and the likeliest whole answer wins, its
    log-probability divided by its length to the power of `length_penalty`. An answer ends before the first of the
    `stop` texts that it would write.
    """

    max_new_tokens: int = 512
    seconds: float = 300.0
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    preset: Preset | None = None
    beams: int | None = None
    length_penalty: float | None = None
    min_new_tokens: int | None = None
    no_repeat_ngram: int | None = None
    encoder_no_repeat_ngram: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True)
class Request:
    """An answer to be written.

    `turns` runs from the oldest to the newest, which is the user's. `prefix` is what was already written of
    the answer, by a runner that died or before the length limit: the engine goes on right after it and does
    not repeat it. With the seed of the earlier receipt it goes on as the earlier runner would have. `model` is a
    catalogue name; empty means the model that the engine has or prefers.
    """

    id: int
    turns: tuple[Turn, ...]
    options: Options = Options()
    prefix: str = ""
    persona: tuple[str, ...] = ()
    model: str = ""


@dataclass(frozen=True)
class SeenTurn:
    """What became of one turn: `kept` or not, and `cut` when only its end was kept.

    `tokens` is what its text takes in the prompt, or would take if it were kept; 0 for a turn without text,
    which is left out. `pieces` says how the text of a kept turn was split: the characters of each token, in
    order. Tokens that share a character are one piece. Of a long prompt only the newest tokens are told, so a turn
    that is whole may lack its first pieces; one that is cut has all of what is left of it.
    """

    index: int
    role: str
    tokens: int
    kept: bool
    cut: bool = False
    pieces: tuple[str, ...] = ()


@dataclass(frozen=True)
class Receipt:
    """What the model saw, in tokens.

    `budget` is the room for the prompt, `used` what the prompt takes of it, separators and pinned text
    included. `frame` is what the format adds to a turn's text, in the mean over a question and an answer.
    `options` holds the decoding settings that are really used, with the seed.
    """

    model: str
    revision: str
    family: str
    budget: int
    used: int
    turns: tuple[SeenTurn, ...]
    persona: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    frame: float = 0.0

    @property
    def kept(self) -> int:
        """How many turns the model saw."""
        return sum(turn.kept for turn in self.turns)


@dataclass(frozen=True)
class Prompt:
    """The token ids the model reads (shape `[used]`) and the receipt that says where they come from."""

    ids: tuple[int, ...]
    receipt: Receipt


class FinishReason(enum.StrEnum):
    """Why an answer ended."""

    END = "end"
    LENGTH = "length"
    DEADLINE = "deadline"
    CANCELLED = "cancelled"
    ERROR = "error"


@dataclass(frozen=True)
class Started:
    """The prompt of a request was built, and the model begins to read it."""

    request_id: int
    receipt: Receipt


@dataclass(frozen=True)
class Delta:
    """New text of an answer, whole characters only, and how many tokens it took (0 or more)."""

    request_id: int
    text: str
    tokens: int


@dataclass(frozen=True)
class Draft:
    """The best answer so far where none is decided yet: it takes the place of all that was told of the request's text.

    `tokens` is how many steps were taken since the last one. The text before the Finish is the decided one.
    """

    request_id: int
    text: str
    tokens: int


@dataclass(frozen=True)
class Finish:
    """A request is over. `error` is set for the reason `error`: an exception's message, for log and page."""

    request_id: int
    reason: FinishReason
    error: str | None = None


Event = Started | Delta | Draft | Finish


@dataclass(frozen=True)
class Progress:
    """How far the making ready of a model is.

    `stage` is `fetching`, `converting` or `loading`; `part` lies between 0 and 1, or is None where that is
    unknown. While it is fetched, `done` of `total` bytes are here, where that is known.
    """

    stage: str
    part: float | None = None
    done: int | None = None
    total: int | None = None

    @classmethod
    def of_bytes(cls, done: int, total: int) -> Progress:
        """How far the fetching of `total` bytes is."""
        return cls("fetching", min(1.0, done / total) if total else None, done, total)


Report = Callable[[Progress], None]


@dataclass(frozen=True)
class Residence:
    """A model in memory, or on its way there.

    `memory` is in bytes, `tokens_per_second` is its speed alone, measured after loading; 0 while it is loading.
    `batched` says whether it works on several answers at once. `reason` is why it could not be loaded.
    """

    model: str
    loaded: bool
    memory: int = 0
    tokens_per_second: float = 0.0
    precision: str = ""
    batched: bool = True
    reason: str | None = None


class Engine(Protocol):
    """A model that answers."""

    @property
    def model(self) -> str:
        """The name of the model, as in the catalogue, or of its folder."""

    @property
    def capacity(self) -> int:
        """How many requests it works on at once."""

    def load(self, report: Report) -> None:
        """Make the model ready, fetching it first if need be. May take minutes.

        Raises ModelUnavailableError when it cannot be had.
        """

    def submit(self, request: Request) -> None:
        """Take up a request. Whatever goes wrong with it later comes as a Finish."""

    def cancel(self, request_id: int) -> None:
        """Stop a request within one step; its Finish has the reason `cancelled`. An unknown id is ignored."""

    def events(self, wait: float) -> list[Event]:
        """What happened since the last call, in order; waits up to `wait` seconds while there is nothing."""

    def residence(self) -> Residence:
        """What the model takes, and how quick it is."""

    def close(self) -> None:
        """End all threads and let go of the model. Requests under way end without a Finish."""
