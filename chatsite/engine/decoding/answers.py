"""An answer on its way: what has come of it, and what is told of it after each step."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from chatsite.engine import Delta, Draft, Event, FinishReason, Prompt, Request
from chatsite.engine.decoding.beams import Candidate, Search, continuations
from chatsite.engine.decoding.characters import Characters
from chatsite.engine.decoding.choosing import Text, choose_rows
from chatsite.engine.decoding.stepping import Row
from chatsite.engine.decoding.stops import Stops, split

Outcome = int | list[Candidate]
"""What a step gives an answer: its next token, or the continuations of its beams."""


@dataclass(eq=False)
class Answer:
    """One answer.

    `text` is what is written, the prefix's ids first; `most` is the length where it must end. `characters` makes what
    turns its tokens into text. `parents` are those of its beams since the last step, if it has any. Once it is over,
    `reason` says why.
    """

    request: Request
    prompt: Prompt
    row: Row
    text: Text
    most: int
    characters: Callable[[], Characters]
    deadline: float = float("inf")
    parents: Sequence[int] = ()
    reason: FinishReason | None = None

    @property
    def id(self) -> int:
        """The request's number."""
        return self.request.id

    @property
    def room(self) -> int:
        """How many more tokens it may have."""
        return min(self.most - len(self.text.written), self.row.room)

    def halt(self, cancelled: Collection[int]) -> FinishReason | None:
        """Why it must end before the next step, if it must."""
        if self.id in cancelled:
            return FinishReason.CANCELLED
        if self.room < 1:
            return FinishReason.LENGTH
        return FinishReason.DEADLINE if time.monotonic() >= self.deadline else None

    def write(self, outcome: Outcome) -> Sequence[Event]:
        """Go on by a step; gives what is to be told."""
        raise NotImplementedError

    def rest(self) -> Sequence[Event]:
        """What is still to be told, now that it ends."""
        return ()


@dataclass(eq=False)
class Drawn(Answer):
    """An answer that gets one token after the other."""

    def __post_init__(self) -> None:
        self._characters = self.characters()
        self._stops = Stops(self.text.choice.stop)

    def write(self, outcome: Outcome) -> Sequence[Event]:
        """One more token, if it is not the end."""
        if not isinstance(outcome, int):
            raise TypeError("An answer without beams gets a token.")
        if outcome in self.text.ends:
            self.reason = FinishReason.END
            return ()
        self.row.tokens = [outcome]
        self.row.room -= 1
        self.text.push(outcome)
        told = self._stops.push(self._characters.push(outcome))
        self.reason = FinishReason.END if self._stops.ended else None
        return (Delta(self.id, told, 1),)

    def rest(self) -> Sequence[Event]:
        """What might have been the beginning of a stop."""
        held = self._stops.rest()
        return (Delta(self.id, held, 0),) if held else ()


@dataclass(eq=False)
class Searched(Answer):
    """An answer with beams: the best so far is told at each step."""

    def __post_init__(self) -> None:
        self.search = Search(self.text, self.room, Speech(self.characters))
        self._speech = Speech(self.characters)

    def write(self, outcome: Outcome) -> Sequence[Event]:
        """Each beam goes on; none of them moves the answer's own text, so `room` stays what it was."""
        if isinstance(outcome, int):
            raise TypeError("An answer with beams gets continuations.")
        self.parents = self.search.take(outcome)
        self.row.tokens = [beam.text.written[-1] for beam in self.search.beams]
        best = self.search.best
        told, _, stopped = split(self._speech(best.ids), self.text.choice.stop)
        if self.search.over:
            self.reason = FinishReason.END if best.itself or stopped else FinishReason.LENGTH
        return (Draft(self.id, told, 1),)


@dataclass
class Speech:
    """The text of ids, in whole characters; quick where they go on from those of the last call."""

    characters: Callable[[], Characters]
    _ids: list[int] = field(default_factory=list)
    _text: str = ""
    _open: Characters | None = None

    def __call__(self, ids: Sequence[int]) -> str:
        """The text of all of `ids`."""
        known = len(self._ids)
        if self._open is None or self._ids != [*ids[:known]]:
            self._open, self._text, known = self.characters(), "", 0
        self._ids = [*ids]
        self._text += "".join([self._open.push(token) for token in ids[known:]])
        return self._text


def outcomes(logits: Tensor, answers: Sequence[Answer]) -> list[Outcome | Exception]:
    """What each answer gets of the logits of its sequences, which follow one another (`[sequences, vocabulary]`)."""
    sizes = [len(one.search.beams) if isinstance(one, Searched) else 1 for one in answers]
    kinds = [isinstance(one, Searched) for one, size in zip(answers, sizes, strict=True) for _ in range(size)]
    drawn = [one.text for one in answers if not isinstance(one, Searched)]
    searches = [one.search for one in answers if isinstance(one, Searched)]
    tokens = iter(choose_rows(_those(logits, kinds, False), drawn) if drawn else ())
    found = iter(continuations(_those(logits, kinds, True), searches) if searches else ())
    return [next(found if isinstance(one, Searched) else tokens) for one in answers]


def _those(logits: Tensor, kinds: Sequence[bool], wanted: bool) -> Tensor:
    """The rows of one kind, in their order."""
    places = [place for place, kind in enumerate(kinds) if kind is wanted]
    return logits if len(places) == len(kinds) else logits[places]
