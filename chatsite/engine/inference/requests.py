"""Running answers: their state, and the events that each step makes of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor

from chatsite.engine.inference.detokenizer import Detokenizer
from chatsite.engine.inference.executor import SequenceGroup
from chatsite.engine.inference.sampling.beam_search import BeamCandidate, BeamSearch, top_candidates
from chatsite.engine.inference.sampling.sampler import SamplingState, sample_batch
from chatsite.engine.inference.stop_strings import StopStringFilter, split_at_stop
from chatsite.engine.reasoning import ReasoningSplitter, TextPiece, split_reasoning
from chatsite.engine.types import Delta, Event, FinishReason, Prompt, ProvisionalText, Reasoning, Request

Outcome = int | list[BeamCandidate]
"""What a step gives an answer: its next token, or the continuations of its beams."""


@dataclass(frozen=True)
class ReasoningLimits:
    """How long a model may think before it answers, in tokens.

    With `is_open` the prompt began the reasoning. After `max_tokens` the model is made to write `end_ids`, which end
    it; from then on it may write `max_answer_tokens`. Without `end_ids` the reasoning has no limit of its own.
    """

    is_open: bool
    max_tokens: int
    end_ids: tuple[int, ...]
    max_answer_tokens: int


@dataclass(eq=False)
class RequestState:
    """What the scheduler knows of one running request.

    `sampling_state` holds what is written, the prefix's ids first; `max_tokens` is the length at which it must end.
    `make_detokenizer` creates what turns its tokens into text. `beam_parents` are the parents of its beams at the last
    step. Once it is over, `finish_reason` says why. `reasoning_limits` are those of a model that may think first.
    """

    request: Request
    prompt: Prompt
    sequence_group: SequenceGroup
    sampling_state: SamplingState
    max_tokens: int
    make_detokenizer: Callable[[], Detokenizer]
    reasoning_limits: ReasoningLimits | None = None
    deadline: float = float("inf")
    beam_parents: Sequence[int] = ()
    finish_reason: FinishReason | None = None

    @property
    def request_id(self) -> int:
        """The id of the request."""
        return self.request.id

    @property
    def tokens_left(self) -> int:
        """The number of tokens that may still be written."""
        return min(self.max_tokens - len(self.sampling_state.written_ids), self.sequence_group.tokens_left)

    def stop_reason(self, canceled_ids: Collection[int]) -> FinishReason | None:
        """Return why the answer must end before the next step, or None."""
        if self.request_id in canceled_ids:
            return FinishReason.CANCELED
        # Before the deadline: a request of 0 tokens has reached its length, however late it is.
        if self.tokens_left < 1:
            return FinishReason.LENGTH
        return FinishReason.DEADLINE if time.monotonic() >= self.deadline else None

    def apply_outcome(self, outcome: Outcome) -> Sequence[Event]:
        """Go on by a step; return the events that it makes."""
        raise NotImplementedError

    def flush_text(self) -> Sequence[Event]:
        """Return the events of text that was held back, now that the answer ends."""
        return ()


@dataclass(eq=False)
class SampledRequest(RequestState):
    """An answer that gets one token after the other."""

    def __post_init__(self) -> None:
        self._detokenizer = self.make_detokenizer()
        self._stop_filter = StopStringFilter(self.sampling_state.params.stop)
        limits = self.reasoning_limits
        self._splitter = ReasoningSplitter(limits.is_open) if limits else None
        self._reasoning_tokens = 0
        self._forced_ids: list[int] = []

    def apply_outcome(self, outcome: Outcome) -> Sequence[Event]:
        """Append one token, unless it ends the answer; return a Delta, or a Reasoning event while the model thinks."""
        if not isinstance(outcome, int):
            raise TypeError("An answer without beams gets a token.")
        token = self._forced_ids.pop(0) if self._forced_ids else outcome
        if token in self.sampling_state.eos_ids:
            self.finish_reason = FinishReason.END
            return ()
        # The end token is not written; any other is what the next step reads.
        self.sequence_group.next_ids = [token]
        self.sequence_group.tokens_left -= 1
        self.sampling_state.append_token(token)
        events = self._split_text(self._detokenizer.push_token(token))
        self.finish_reason = FinishReason.END if self._stop_filter.is_stopped else None
        return events

    def flush_text(self) -> Sequence[Event]:
        """Return the events of what might have been the beginning of a tag or of a stop string."""
        pieces = self._splitter.flush_text() if self._splitter else []
        events = self._make_events(pieces)
        held_text = self._stop_filter.flush_text()
        return (*events, Delta(self.request_id, held_text, 0)) if held_text else events

    def _split_text(self, text: str) -> Sequence[Event]:
        """Return the events of the text of one token; the first of them counts the token."""
        splitter, limits = self._splitter, self.reasoning_limits
        if splitter is None or limits is None:
            return (Delta(self.request_id, self._stop_filter.push_text(text), 1),)
        was_thinking, was_answering = splitter.is_thinking, splitter.is_answering
        events = self._make_events(splitter.push_text(text))
        if splitter.is_answering and not was_answering:
            # The first token of the answer is written already.
            answer_end = len(self.sampling_state.written_ids) - 1 + limits.max_answer_tokens
            self.max_tokens = min(self.max_tokens, answer_end)
        # Tags, and the space after them, count as reasoning.
        has_thought = was_thinking or splitter.is_thinking or self._reasoning_tokens > 0
        is_reasoning = has_thought and not splitter.is_answering
        self._reasoning_tokens += is_reasoning
        if splitter.is_thinking and self._reasoning_tokens >= limits.max_tokens and not self._forced_ids:
            self._forced_ids = list(limits.end_ids)
        kind = Reasoning if is_reasoning else Delta
        if events and isinstance(events[0], kind):
            return (replace(events[0], token_count=1), *events[1:])
        return (kind(self.request_id, "", 1), *events)

    def _make_events(self, pieces: Sequence[TextPiece]) -> tuple[Delta | Reasoning, ...]:
        """Return the events of some text without tokens; stop strings are looked for in the answer alone."""
        return tuple(
            Reasoning(self.request_id, piece.text, 0)
            if piece.is_reasoning
            else Delta(self.request_id, self._stop_filter.push_text(piece.text), 0)
            for piece in pieces
        )


@dataclass(eq=False)
class BeamSearchRequest(RequestState):
    """An answer of a beam search: the best so far is shown at each step."""

    def __post_init__(self) -> None:
        self.search = BeamSearch(self.sampling_state, self.tokens_left, CachedDetokenizer(self.make_detokenizer))
        self._detokenize = CachedDetokenizer(self.make_detokenizer)

    def apply_outcome(self, outcome: Outcome) -> Sequence[Event]:
        """Let each beam go on; return the best hypothesis so far as provisional text.

        No beam moves the answer's own text, so `tokens_left` stays what it was.
        """
        if isinstance(outcome, int):
            raise TypeError("An answer with beams gets continuations.")
        # The scheduler reorders the cache by these only if the search goes on.
        self.beam_parents = self.search.advance_beams(outcome)
        self.sequence_group.next_ids = [beam.state.written_ids[-1] for beam in self.search.beams]
        # A finished hypothesis with a better score may replace what was shown until now.
        best = self.search.best_hypothesis
        text = self._detokenize(best.ids)
        limits = self.reasoning_limits
        reasoning, text = split_reasoning(text, is_open=limits.is_open) if limits else ("", text)
        visible_text, _, is_stopped = split_at_stop(text, self.sampling_state.params.stop)
        if self.search.is_done:
            self.finish_reason = FinishReason.END if best.ended_by_eos or is_stopped else FinishReason.LENGTH
        # While beams are compared, another one may have thought something else.
        decided = (Reasoning(self.request_id, reasoning, 0),) if reasoning and self.search.is_done else ()
        return (*decided, ProvisionalText(self.request_id, visible_text, 1))


@dataclass
class CachedDetokenizer:
    """Turns ids into text in whole characters; quick if they go on from those of the last call."""

    make_detokenizer: Callable[[], Detokenizer]
    _ids: list[int] = field(default_factory=list)
    _text: str = ""
    _detokenizer: Detokenizer | None = None

    def __call__(self, ids: Sequence[int]) -> str:
        """Return the text of all of `ids`."""
        known_count = len(self._ids)
        # The best beam changed, so its text is made anew: a detokenizer cannot go back.
        if self._detokenizer is None or self._ids != [*ids[:known_count]]:
            self._detokenizer, self._text, known_count = self.make_detokenizer(), "", 0
        self._ids = [*ids]
        self._text += "".join([self._detokenizer.push_token(token) for token in ids[known_count:]])
        return self._text


def next_outcomes(logits: Tensor, states: Sequence[RequestState]) -> list[Outcome | Exception]:
    """Return what a step gives each answer, or the error of one whose logits are no numbers.

    `logits` are those of the sequences of all answers, one answer's after the other's (`[sequences, vocabulary]`).
    """
    sizes = [len(state.search.beams) if isinstance(state, BeamSearchRequest) else 1 for state in states]
    # Sampling and beam search read the same logits, but each wants only its own rows, in one call.
    is_beam_row = [
        isinstance(state, BeamSearchRequest) for state, size in zip(states, sizes, strict=True) for _ in range(size)
    ]
    sampling_states = [state.sampling_state for state in states if not isinstance(state, BeamSearchRequest)]
    searches = [state.search for state in states if isinstance(state, BeamSearchRequest)]
    tokens = iter(sample_batch(_rows_of_kind(logits, is_beam_row, False), sampling_states) if sampling_states else ())
    candidates = iter(top_candidates(_rows_of_kind(logits, is_beam_row, True), searches) if searches else ())
    return [next(candidates if isinstance(state, BeamSearchRequest) else tokens) for state in states]


def _rows_of_kind(logits: Tensor, is_beam_row: Sequence[bool], kind: bool) -> Tensor:
    """Return the rows of one kind, in their order."""
    indices = [index for index, row_kind in enumerate(is_beam_row) if row_kind is kind]
    return logits if len(indices) == len(is_beam_row) else logits[indices]
