"""Continuous batching: every step advances all running answers by one token.

A new answer's prompt is read in pieces between two steps, so that those who are being answered barely wait; it
joins at the next step and leaves when it is over. What goes wrong with one answer is its own affair.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from chatsite.engine import Delta, Event, Finish, FinishReason, Prompt, Request, Started
from chatsite.engine.decoding.characters import Characters
from chatsite.engine.decoding.choosing import Choice, Text, choose, choose_rows
from chatsite.engine.decoding.stepping import Row, Stepper

# How many ids of prompts are read at a time: by itself, and between two steps of others.
PIECE = 256
SHARED_PIECE = 64


@dataclass(eq=False)
class Answer:
    """One answer on its way.

    `written` begins with the prefix's ids, `most` is the length where it must end, `ends` are the ids that end it.
    """

    request: Request
    prompt: Prompt
    choice: Choice
    row: Row
    characters: Characters
    written: list[int]
    most: int
    ends: frozenset[int]
    deadline: float = float("inf")

    @property
    def id(self) -> int:
        """The request's number."""
        return self.request.id

    @property
    def text(self) -> Text:
        """What the choice of the next token depends on."""
        return Text(self.prompt.ids, self.written, self.choice, self.ends)

    def halt(self, cancelled: Collection[int]) -> FinishReason | None:
        """Why it must end before the next step, if it must."""
        if self.id in cancelled:
            return FinishReason.CANCELLED
        if len(self.written) >= self.most or self.row.room < 1:
            return FinishReason.LENGTH
        return FinishReason.DEADLINE if time.monotonic() >= self.deadline else None


class Batch:
    """The answers that one model is writing.

    `prepare` builds the prompt of a request, `budget` is how many bytes the keys and values of all may take: an
    answer waits until there is room for all it may become. They are taken in their order.
    """

    def __init__(self, stepper: Stepper, prepare: Callable[[Request], Answer], budget: int) -> None:
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
        try:
            self._waiting.append(self._prepare(request))
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
                yield self._finish(answer, Finish(answer.id, reason))

    def _finish(self, answer: Answer, finish: Finish) -> Finish:
        if answer in self._reading:
            self._reading.remove(answer)
        self._running.pop(answer.row, None)
        self._stepper.leave(answer.row)
        return finish

    def _admit(self) -> Iterator[Event]:
        while self._waiting and self._fits(self._waiting[0]):
            answer = self._waiting.popleft()
            answer.deadline = time.monotonic() + answer.request.options.seconds
            self._reading.append(answer)
            yield Started(answer.id, answer.prompt.receipt)
            # One that has nothing to write, or no time for it, is not begun.
            if reason := answer.halt(()):
                yield self._finish(answer, Finish(answer.id, reason))

    def _fits(self, answer: Answer) -> bool:
        """Whether there is room for one more; what is too large for the budget is written alone."""
        others = [*self._reading, *self._running.values()]
        if len(others) >= self._stepper.limit:
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
                logits = self._stepper.read(answer.row, left)
                token = None if logits is None else choose(logits, *answer.text)
                if token is not None and token not in answer.ends:
                    self._stepper.join(answer.row)
            except Exception as error:
                yield self._finish(answer, failure(answer.id, error))
                return
            left -= max(1, unread - len(answer.row.unread))
            if token is not None:
                self._reading.remove(answer)
                self._running[answer.row] = answer
                yield self._write(answer, token)

    def _step(self) -> Iterator[Event]:
        answers = [self._running[row] for row in self._stepper.rows if row in self._running]
        ready = [answer for answer in answers if not answer.halt(())]
        # Those that end now would stand between the others; they end first, at the next call.
        if not ready or len(ready) < len(answers):
            return
        tokens = self._tokens(answers)
        # What leaves lets another move into its place, with all that it has read; so all have read first.
        for answer in answers:
            self._stepper.advance(answer.row)
        for answer, token in zip(answers, tokens, strict=True):
            if isinstance(token, Exception):
                yield self._finish(answer, failure(answer.id, token))
            else:
                yield self._write(answer, token)

    def _tokens(self, answers: Sequence[Answer]) -> list[int | Exception]:
        """The next token of each answer. When something goes wrong, each is tried by itself."""
        try:
            logits = self._stepper.step([answer.row for answer in answers])
            tokens = choose_rows(logits, [answer.text for answer in answers])
        except Exception as error:
            tokens = [error] * len(answers)
        if len(answers) == 1 or not any(isinstance(token, Exception) for token in tokens):
            return tokens
        return [token for answer in answers for token in self._tokens([answer])]

    def _write(self, answer: Answer, token: int) -> Event:
        if token in answer.ends:
            return self._finish(answer, Finish(answer.id, FinishReason.END))
        answer.row.token = token
        answer.row.room -= 1
        answer.written.append(token)
        return Delta(answer.id, answer.characters.push(token), 1)


def failure(request_id: int, error: Exception) -> Finish:
    """The end of a request that went wrong."""
    return Finish(request_id, FinishReason.ERROR, str(error) or type(error).__name__)
