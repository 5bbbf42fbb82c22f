"""Text in, text out: what the runner asks of a model and what it gets back.

An engine knows no user, no database and no page. It takes requests at any time, works on as many of them at
once as it can, and hands over what happened since it was last asked. It owns its threads; `submit`, `cancel`
and `poll_events` are called by one thread, the runner's, and never wait for the model.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from chatsite.errors import ChatsiteError


@dataclass(frozen=True)
class Turn:
    """One turn of a conversation as the model reads it; `role` is `user` or `assistant`."""

    role: str
    text: str


class Preset(enum.StrEnum):
    """A named manner of decoding that every family translates into its own numbers."""

    PRECISE = "precise"
    BALANCED = "balanced"
    CREATIVE = "creative"


@dataclass(frozen=True)
class GenerationOptions:
    """What a request asks of the decoding; None leaves a setting to `preset`, and that to the checkpoint.

    `max_new_tokens` bounds what is written for this request, a prefix not counted; a model that thinks may write
    `max_reasoning_tokens` more before it answers. `seconds` is the time from the start of the work on it. `temperature`
    0 is greedy. `top_p` is the share of probability that is drawn from (nucleus sampling, Holtzman et al., 2020),
    `top_k` the number of tokens. `repetition_penalty` divides the logits of what was said (Keskar et al., 2019). `seed`
    makes sampling repeatable. With more than one of `beams` nothing is drawn: so many beginnings are followed at once,
    and the likeliest whole answer wins, its log-probability divided by its length to the power of `length_penalty`. No
    n-gram of `no_repeat_ngram` tokens comes twice in the answer, none of `encoder_no_repeat_ngram` is quoted from the
    prompt. An answer ends before the first of the `stop` strings that it would write.
    """

    max_new_tokens: int = 512
    max_reasoning_tokens: int = 2048
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

    `turns` runs from the oldest to the newest, which is the user's. `prefix` is what was already written of the answer,
    by a runner that died or before a limit of length: the engine goes on right after it and does not repeat it. With
    the seed of the earlier prompt report it goes on as the earlier runner would have. `persona` holds sentences that
    stay in front of all turns. `model` is a name of the catalog; empty means the model that the engine has or prefers.
    Nobody waits for one that `is_background`: no model is loaded for it, and a model that can think before it answers
    is told not to. The first `kept_chars` of the prefix stay whatever comes: provisional text replaces the rest only.
    `written_tokens` of the prefix were taken from `max_new_tokens`; an answer that is begun anew gets them back.
    `reasoning` is what a model of this machine thought before it wrote the prefix.
    """

    id: int
    turns: tuple[Turn, ...]
    options: GenerationOptions = GenerationOptions()
    prefix: str = ""
    persona: tuple[str, ...] = ()
    model: str = ""
    is_background: bool = False
    kept_chars: int = 0
    written_tokens: int = 0
    reasoning: str = ""


@dataclass(frozen=True)
class TurnReport:
    """What became of one turn: whether it `is_kept`, and `is_truncated` if only its end was kept.

    `token_count` is the length of its text in the prompt, or what that would be if it were kept; 0 for a turn without
    text, which is left out. `token_texts` holds the characters of each token of a kept turn, in order; tokens that
    share a character are one piece. Of a long prompt only the newest tokens are listed, so that a whole turn may lack
    its first pieces; a truncated one has all pieces of what is left of it.
    """

    index: int
    role: str
    token_count: int
    is_kept: bool
    is_truncated: bool = False
    token_texts: tuple[str, ...] = ()


@dataclass(frozen=True)
class PromptReport:
    """What the model saw of a request, in tokens.

    `budget_tokens` is the room for the prompt, `used_tokens` the length of the prompt, separators and pinned text
    included. `overhead_tokens` is what the format adds to a turn's text, in the mean over a question and an answer.
    `options` holds the sampling parameters that are really used, with the seed. `counted_by` says who counted: the
    `engine`, which has the tokenizer, the `server` of an endpoint, or nobody yet (`estimated`). `notes` are codes for
    what a reader should know: `cut_by_server`, if the server read less than it was sent, and `restarted`, if an answer
    was begun anew because the server cannot continue one.
    """

    model: str
    revision: str
    family: str
    budget_tokens: int
    used_tokens: int
    turns: tuple[TurnReport, ...]
    persona: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    overhead_tokens: float = 0.0
    counted_by: str = "engine"
    notes: tuple[str, ...] = ()

    @property
    def kept_turn_count(self) -> int:
        """The number of turns that the model saw."""
        return sum(turn.is_kept for turn in self.turns)


@dataclass(frozen=True)
class Prompt:
    """The token ids that the model reads (`[used]`), and the report that says where they come from.

    With `opens_reasoning` the last of them begin the reasoning, and the model goes on inside it.
    """

    ids: tuple[int, ...]
    report: PromptReport
    opens_reasoning: bool = False


class FinishReason(enum.StrEnum):
    """The reasons for which an answer ends."""

    END = "end"
    LENGTH = "length"
    DEADLINE = "deadline"
    CANCELED = "cancelled"
    ERROR = "error"


@dataclass(frozen=True)
class Started:
    """The event that the prompt of a request was built and the model begins to read it."""

    request_id: int
    report: PromptReport


@dataclass(frozen=True)
class Restarted:
    """The event that a request is begun anew: nothing of its text, its reasoning and their tokens is left."""

    request_id: int


@dataclass(frozen=True)
class Delta:
    """The event of new text of an answer, in whole characters, and the number of tokens that it took (0 or more)."""

    request_id: int
    text: str
    token_count: int


@dataclass(frozen=True)
class Reasoning:
    """The event of new text that the model thinks before it answers, in whole characters, and its number of tokens.

    It is no part of the answer, and is never sent to a model again.
    """

    request_id: int
    text: str
    token_count: int


@dataclass(frozen=True)
class ProvisionalText:
    """The event of the best answer so far of a beam search, which replaces all text of the request that came before.

    `token_count` is the number of steps since the last such event. The text before the Finish is the decided one.
    """

    request_id: int
    text: str
    token_count: int


@dataclass(frozen=True)
class Finish:
    """The event that a request is over; `error_message` is set if the reason is `error`, for log and page."""

    request_id: int
    reason: FinishReason
    error_message: ChatsiteError | None = None


Event = Started | Restarted | Reasoning | Delta | ProvisionalText | Finish


@dataclass(frozen=True)
class Progress:
    """How far a model is on its way into memory.

    `stage` is `fetching`, `converting` or `loading`. `fraction` lies between 0 and 1, or is None if it is unknown.
    While the model is fetched, `done_bytes` of `total_bytes` bytes are on this machine, if that is known.
    """

    stage: str
    fraction: float | None = None
    done_bytes: int | None = None
    total_bytes: int | None = None

    @classmethod
    def from_bytes(cls, done_bytes: int, total_bytes: int) -> Progress:
        """Return the progress of a download of which `done_bytes` of `total_bytes` bytes have arrived."""
        return cls("fetching", min(1.0, done_bytes / total_bytes) if total_bytes else None, done_bytes, total_bytes)


ProgressCallback = Callable[[Progress], None]


@dataclass(frozen=True)
class ModelStatus:
    """A model in memory, or on its way there.

    `memory_bytes` is its memory, `tokens_per_second` its speed with one request, measured after loading; 0 until it is
    loaded. `is_batched` says whether it works on several answers at once. `failure_reason` is why it could not be
    loaded.
    """

    model: str
    is_loaded: bool
    memory_bytes: int = 0
    tokens_per_second: float = 0.0
    precision: str = ""
    is_batched: bool = True
    failure_reason: ChatsiteError | None = None


class Engine(Protocol):
    """A model that answers requests.

    `submit`, `cancel` and `poll_events` are called by one thread and never wait for the model. Errors of a request come
    as the Finish of that request; only `load` raises.
    """

    @property
    def model(self) -> str:
        """The name of the model in the catalog, or that of its folder."""

    @property
    def capacity(self) -> int:
        """The number of requests that it works on at once."""

    def load(self, on_progress: ProgressCallback) -> None:
        """Make the model ready, fetching its weights first if they are not on this machine; this may take minutes.

        Args: `on_progress` is called with each new Progress, by this thread. Raises: ModelLoadError if the model cannot
        be had.
        """

    def submit(self, request: Request) -> None:
        """Take up a request; whatever goes wrong with it later comes as a Finish."""

    def cancel(self, request_id: int) -> None:
        """Stop a request within one step; its Finish has the reason `cancelled`. Ignore an unknown id."""

    def poll_events(self, timeout_seconds: float) -> list[Event]:
        """Return the events since the last call, oldest first.

        Args: `timeout_seconds` is how long to wait while there is no event. Returns: Started, Restarted,
        Reasoning, Delta, ProvisionalText and Finish events; none if the time has passed.
        """

    def get_status(self) -> ModelStatus:
        """Return the memory, the speed and the precision of the model."""

    def close(self) -> None:
        """End all threads and release the model; running requests end without a Finish."""
