"""Continuous batching: every step advances all running answers by one token.

A new answer's prompt is read in pieces between two steps, so that those who are being answered barely wait; it
joins at the next step and leaves when it is over. What goes wrong with one answer is its own affair.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence

from chatsite.engine import Event, Finish, FinishReason, Request, Started
from chatsite.engine.decoding.answers import Answer, Outcome, outcomes
from chatsite.engine.decoding.stepping import Row, Stepper

# How many ids of prompts are read at a time: by itself, and between two steps of others.
PIECE = 256
SHARED_PIECE = 64
# With more answers than this waiting or under way, those that nobody asked beams for go without.
BUSY = 4


class Batch:
    """The answers that one model is writing.

    `prepare` builds the prompt of a request, and is told whether there are many answers; `budget` is how many bytes
    the keys and values of all may take: an answer waits until there is room for all it may become. They are taken in
    their order.
    """

    def __init__(self, stepper: Stepper, prepare: Callable[[Request, bool], Answer], budget: int) -> None:
        self._stepper = stepper
        self._prepare = prepare
        self._budget = budget
        self._waiting: deque[Answer] = deque()
        self._reading: list[Answer] = []
        self._running: dict[Row, Answer] = {}

    @property
    def busy(self) -> bool:
        """Whether there is anything to do."""
        return bool(self._waiting or self._reading or self._running)

    def take(self, request: Request) -> Iterator[Event]:
        """Take up a request; one whose prompt cannot be built is over at once."""
        many = len(self._waiting) + len(self._reading) + len(self._running) > BUSY
        try:
            self._waiting.append(self._prepare(request, many))
        except Exception as error:
            yield failure(request.id, error)

    def advance(self, cancelled: Collection[int]) -> Iterator[Event]:
        """One step: end what must end, admit, read a piece of a prompt, one token for every running answer."""
        yield from self._end(cancelled)
        yield from self._admit()
        yield from self._read()
        yield from self._step()

    def _end(self, cancelled: Collection[int]) -> Iterator[Event]:
        for answer in [answer for answer in self._waiting if answer.id in cancelled]:
            self._waiting.remove(answer)
            yield Finish(answer.id, FinishReason.CANCELLED)
        for answer in [*self._reading, *self._running.values()]:
            if reason := answer.halt(cancelled):
                yield from self._finish(answer, Finish(answer.id, reason))

    def _finish(self, answer: Answer, finish: Finish) -> Iterator[Event]:
        if answer in self._reading:
            self._reading.remove(answer)
        self._running.pop(answer.row, None)
        self._stepper.leave(answer.row)
        if finish.reason is not FinishReason.ERROR:
            yield from answer.rest()
        yield finish

    def _admit(self) -> Iterator[Event]:
        while self._waiting and self._fits(self._waiting[0]):
            answer = self._waiting.popleft()
            answer.deadline = time.monotonic() + answer.request.options.seconds
            self._reading.append(answer)
            yield Started(answer.id, answer.prompt.receipt)
            # One that has nothing to write, or no time for it, is not begun.
            if reason := answer.halt(()):
                yield from self._finish(answer, Finish(answer.id, reason))

    def _fits(self, answer: Answer) -> bool:
        """Whether there is room for one more; what is too large for the budget is written alone."""
        others = [*self._reading, *self._running.values()]
        beams = answer.row.beams + sum(other.row.beams for other in others)
        if others and (len(others) >= self._stepper.limit or beams > self._stepper.breadth):
            return False
        size = self._stepper.bytes(answer.row)
        return not others or size + sum(self._stepper.bytes(other.row) for other in others) <= self._budget

    def _read(self) -> Iterator[Event]:
        """Read on in the oldest prompt, and in the next ones if it is over early."""
        left = SHARED_PIECE if self._running else PIECE
        while self._reading and left > 0:
            answer = self._reading[0]
            unread = len(answer.row.unread)
            try:
                told = self._begin(answer, left)
            except Exception as error:
                yield from self._finish(answer, failure(answer.id, error))
                return
            left -= max(1, unread - len(answer.row.unread))
            if told is not None:
                yield from told
                yield from self._go_on(answer)

    def _begin(self, answer: Answer, most: int) -> Sequence[Event] | None:
        """Read a piece of its prompt; what is to be told after the last one, when it takes its place."""
        logits = self._stepper.read(answer.row, most)
        if logits is None:
            return None
        outcome = outcomes(logits[None], [answer])[0]
        if isinstance(outcome, Exception):
            raise outcome
        told = answer.write(outcome)
        if not answer.reason:
            self._stepper.join(answer.row)
        self._reading.remove(answer)
        self._running[answer.row] = answer
        return told

    def _step(self) -> Iterator[Event]:
        answers = [self._running[row] for row in self._stepper.rows if row in self._running]
        ready = [answer for answer in answers if not answer.halt(())]
        # Those that end now would stand between the others; they end first, at the next call.
        if not ready or len(ready) < len(answers):
            return
        found = self._outcomes(answers)
        # What leaves lets another move into its place, with all that it has read; so all have read first.
        for answer in answers:
            self._stepper.advance(answer.row)
        for answer, outcome in zip(answers, found, strict=True):
            yield from self._write(answer, outcome)

    def _outcomes(self, answers: Sequence[Answer]) -> list[Outcome | Exception]:
        """What a step gives each answer. When something goes wrong, each is tried by itself."""
        try:
            found = outcomes(self._stepper.step([answer.row for answer in answers]), answers)
        except Exception as error:
            found = [error] * len(answers)
        if len(answers) == 1 or not any(isinstance(outcome, Exception) for outcome in found):
            return found
        return [outcome for answer in answers for outcome in self._outcomes([answer])]

    def _write(self, answer: Answer, outcome: Outcome | Exception) -> Iterator[Event]:
        try:
            if isinstance(outcome, Exception):
                raise outcome
            told = answer.write(outcome)
            if answer.parents and not answer.reason:
                self._stepper.reorder(answer.row, answer.parents)
        except Exception as error:
            yield from self._finish(answer, failure(answer.id, error))
        else:
            yield from told
            yield from self._go_on(answer)

    def _go_on(self, answer: Answer) -> Iterator[Event]:
        """It ends here if it is over."""
        if answer.reason:
            yield from self._finish(answer, Finish(answer.id, answer.reason))


def failure(request_id: int, error: Exception) -> Finish:
    """The end of a request that went wrong."""
    return Finish(request_id, FinishReason.ERROR, str(error) or type(error).__name__)
