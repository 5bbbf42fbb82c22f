"""Continuous batching (Yu et al., "Orca", 2022): every step advances all running answers by one token.

A new answer's prompt is read in pieces between two steps, so that running answers barely wait; it joins at the next
step and leaves when it is over. What goes wrong with one answer does not touch the others.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence

from chatsite.engine.inference.executor import ModelExecutor, SequenceGroup
from chatsite.engine.inference.requests import Outcome, RequestState, next_outcomes
from chatsite.engine.types import Event, Finish, FinishReason, Request, Started
from chatsite.errors import as_error

# How many ids of prompts are read at a time: by itself, and between two steps of others.
PREFILL_TOKENS = 256
SHARED_PREFILL_TOKENS = 64
# With more answers than this waiting or under way, those that nobody asked beams for go without.
MAX_REQUESTS_WITH_BEAMS = 4


class Scheduler:
    """Decides at each step which requests are admitted, prefilled, decoded and finished.

    `prepare` builds the state of a request, and is told whether there are many answers. `cache_budget_bytes` is the
    memory for the keys and values of all: an answer waits until there is room for all that it may become. Requests are
    admitted in their order.
    """

    def __init__(
        self, executor: ModelExecutor, prepare: Callable[[Request, bool], RequestState], cache_budget_bytes: int
    ) -> None:
        self._executor = executor
        self._prepare = prepare
        self._cache_budget_bytes = cache_budget_bytes
        self._waiting: deque[RequestState] = deque()
        self._prefilling: list[RequestState] = []
        self._running: dict[SequenceGroup, RequestState] = {}

    @property
    def has_work(self) -> bool:
        """Whether any request waits or runs."""
        return bool(self._waiting or self._prefilling or self._running)

    def add_request(self, request: Request) -> Iterator[Event]:
        """Take up a request; one whose prompt cannot be built is over at once."""
        # A beam search of ten beams takes the place of ten requests, so that it is a luxury of quiet times.
        is_crowded = len(self._waiting) + len(self._prefilling) + len(self._running) > MAX_REQUESTS_WITH_BEAMS
        try:
            self._waiting.append(self._prepare(request, is_crowded))
        except Exception as error:
            yield error_event(request.id, error)

    def run_step(self, canceled_ids: Collection[int]) -> Iterator[Event]:
        """End what must end, admit, read a piece of a prompt, write one token of every running answer.

        `canceled_ids` are the ids of requests that are to end now. Yields the events of the step in their order.
        """
        # Ending comes first, so that what it frees can be given away in the same step.
        yield from self._end_stopped(canceled_ids)
        yield from self._admit_waiting()
        yield from self._prefill_waiting()
        yield from self._decode_running()

    def _end_stopped(self, canceled_ids: Collection[int]) -> Iterator[Event]:
        # A waiting request has no cache row and no text yet: its Finish is all that is left to do.
        for state in [state for state in self._waiting if state.request_id in canceled_ids]:
            self._waiting.remove(state)
            yield Finish(state.request_id, FinishReason.CANCELED)
        for state in [*self._prefilling, *self._running.values()]:
            if reason := state.stop_reason(canceled_ids):
                yield from self._finish_request(state, Finish(state.request_id, reason))

    def _finish_request(self, state: RequestState, finish: Finish) -> Iterator[Event]:
        if state in self._prefilling:
            self._prefilling.remove(state)
        self._running.pop(state.sequence_group, None)
        self._executor.free_group(state.sequence_group)
        # After an error nobody knows whether the held back text belongs to the answer.
        if finish.reason is not FinishReason.ERROR:
            yield from state.flush_text()
        yield finish

    def _admit_waiting(self) -> Iterator[Event]:
        # First come, first served: a small request never overtakes a large one, or that might wait for ever.
        while self._waiting and self._has_capacity(self._waiting[0]):
            state = self._waiting.popleft()
            state.deadline = time.monotonic() + state.request.options.seconds
            self._prefilling.append(state)
            yield Started(state.request_id, state.prompt.report)
            # One that has nothing to write, or no time for it, is not begun.
            if reason := state.stop_reason(()):
                yield from self._finish_request(state, Finish(state.request_id, reason))

    def _has_capacity(self, state: RequestState) -> bool:
        """Say whether a request can be admitted; one that is too large for the budget runs alone."""
        active = [*self._prefilling, *self._running.values()]
        total_beams = state.sequence_group.num_beams + sum(
            other_state.sequence_group.num_beams for other_state in active
        )
        if active and (len(active) >= self._executor.max_groups or total_beams > self._executor.max_sequences):
            return False
        # The memory is promised in full at admission. Taking it token by token would admit more, but then a running
        # answer would have to be thrown out and read again when the memory ends, as in vLLM.
        needed_bytes = self._executor.cache_bytes(state.sequence_group)
        return (
            not active
            or needed_bytes + sum(self._executor.cache_bytes(other_state.sequence_group) for other_state in active)
            <= self._cache_budget_bytes
        )

    def _prefill_waiting(self) -> Iterator[Event]:
        """Read on in the oldest prompt, and in the next ones if it is over early."""
        tokens_left = SHARED_PREFILL_TOKENS if self._running else PREFILL_TOKENS
        while self._prefilling and tokens_left > 0:
            state = self._prefilling[0]
            unread_before = len(state.sequence_group.unread_ids)
            try:
                events = self._prefill_request(state, tokens_left)
            except Exception as error:
                yield from self._finish_request(state, error_event(state.request_id, error))
                return
            # At least 1, as an encoder may read nothing of `unread_ids`, and the loop must end.
            tokens_left -= max(1, unread_before - len(state.sequence_group.unread_ids))
            if events is not None:
                yield from events
                yield from self._finish_if_done(state)

    def _prefill_request(self, state: RequestState, max_tokens: int) -> Sequence[Event] | None:
        """Read a piece of a prompt; return None, or the events of the first token after the last piece."""
        logits = self._executor.prefill_chunk(state.sequence_group, max_tokens)
        if logits is None:
            return None
        outcome = next_outcomes(logits[None], [state])[0]
        if isinstance(outcome, Exception):
            raise outcome
        events = state.apply_outcome(outcome)
        # An answer whose first token ends it never needs a cache row.
        if not state.finish_reason:
            self._executor.activate_group(state.sequence_group)
        self._prefilling.remove(state)
        self._running[state.sequence_group] = state
        return events

    def _decode_running(self) -> Iterator[Event]:
        states = [self._running[group] for group in self._executor.running_groups if group in self._running]
        continuing = [state for state in states if not state.stop_reason(())]
        # Those that end now would stand between the others; they end first, at the next call.
        if not continuing or len(continuing) < len(states):
            return
        outcomes = self._decode_outcomes(states)
        # What leaves lets another move into its place, with all that it has read; so all have read first.
        for state in states:
            self._executor.commit_step(state.sequence_group)
        for state, outcome in zip(states, outcomes, strict=True):
            yield from self._emit_outcome(state, outcome)

    def _decode_outcomes(self, states: Sequence[RequestState]) -> list[Outcome | Exception]:
        """Return what a step gives each answer; if something goes wrong, try each answer by itself."""
        try:
            results = next_outcomes(self._executor.decode_step([state.sequence_group for state in states]), states)
        except Exception as error:
            results = [error] * len(states)
        # A step changes nothing until it is committed, so trying again answer by answer finds the one at fault.
        if len(states) == 1 or not any(isinstance(outcome, Exception) for outcome in results):
            return results
        return [outcome for state in states for outcome in self._decode_outcomes([state])]

    def _emit_outcome(self, state: RequestState, outcome: Outcome | Exception) -> Iterator[Event]:
        try:
            if isinstance(outcome, Exception):
                raise outcome
            events = state.apply_outcome(outcome)
            if state.beam_parents and not state.finish_reason:
                self._executor.reorder_beams(state.sequence_group, state.beam_parents)
        except Exception as error:
            yield from self._finish_request(state, error_event(state.request_id, error))
        else:
            yield from events
            yield from self._finish_if_done(state)

    def _finish_if_done(self, state: RequestState) -> Iterator[Event]:
        """Finish a request that has a reason to be over."""
        if state.finish_reason:
            yield from self._finish_request(state, Finish(state.request_id, state.finish_reason))


def error_event(request_id: int, error: Exception) -> Finish:
    """Return the Finish of a request that went wrong."""
    return Finish(request_id, FinishReason.ERROR, as_error(error))
