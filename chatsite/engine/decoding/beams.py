"""Beam search: several beginnings of one answer are followed at once, and the likeliest whole answer wins.

The rules are those of transformers' `generate` with `num_beams`, `early_stopping=False` and no draw, and tests hold
them to it token by token. Of each step's best continuations those that end are kept with a final score, their
log-probability divided by their length to the power of `length_penalty`; the others go on. The search is over when as
many have ended as there are beams, and the best that goes on would, if it ended here, be no better than the worst of
these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor

from chatsite.engine.decoding.choosing import NO_NUMBERS, Text, restrict
from chatsite.engine.decoding.stops import split

# What an answer that has ended loses when it must go on because too few others are left.
AWAY = 1e9


class Candidate(NamedTuple):
    """A continuation: the log-probability of the whole, the beam that it continues, and its new token."""

    score: float
    parent: int
    token: int


class Beam(NamedTuple):
    """A beginning that is followed, and its log-probability."""

    text: Text
    score: float


class Ended(NamedTuple):
    """An answer that may win: its new ids without an end token, its final score, whether it ended by itself."""

    ids: Sequence[int]
    score: float
    itself: bool


class Search:
    """The search for one answer, which begins after what `text` has.

    It ends after `limit` more tokens, an end token included. `spell` gives the text of new ids, for choices with stops.
    `beams` are followed, best first; `ended` are the best of those that have ended, best first.
    """

    def __init__(self, text: Text, limit: int, spell: Callable[[Sequence[int]], str]) -> None:
        self.choice = text.choice
        self.beams = [Beam(text, 0.0)]
        self.ended: list[Ended] = []
        self.over = False
        self._ends = text.ends
        self._begin = len(text.written)
        self._limit = limit
        self._spell = spell
        self._length = 0

    @property
    def wanted(self) -> int:
        """How many continuations are looked at: enough to go on with, even if each beam ends in every way."""
        return max(2, 1 + len(self._ends)) * self.choice.beams

    @property
    def forced(self) -> bool:
        """Whether nothing but the end can come next."""
        return self.choice.forced_end and self._length == self._limit - 1 and bool(self._ends)

    @property
    def best(self) -> Ended:
        """The best answer so far; once the search is over, the best of those that have ended."""
        running = Ended(self._ids(self.beams[0].text), self._final(self.beams[0].score), False)
        if not self.ended or (not self.over and running.score > self.ended[0].score):
            return running
        return self.ended[0]

    def take(self, candidates: Sequence[Candidate]) -> list[int]:
        """Go on with some of the continuations, which come best first; gives each beam's parent."""
        texts = [self.beams[candidate.parent].text for candidate in candidates]
        self._length += 1
        hits = [self._hit(text, candidate.token) for text, candidate in zip(texts, candidates, strict=True)]
        chosen = list(zip(candidates, texts, hits, strict=True))
        ended = [self._end(*one) for one in chosen[: self.choice.beams] if one[2]]
        self.ended = sorted([*self.ended, *ended], key=lambda one: -one.score)[: self.choice.beams]
        # Those that have ended go on only where too few have not.
        going = [one for one in chosen if not one[2]] + [one for one in chosen if one[2]]
        going = going[: self.choice.beams]
        self.beams = [Beam(text.forked(one.token), one.score - AWAY * hit) for one, text, hit in going]
        self.over = all(hits) or self._final(self.beams[0].score) <= self._worst
        return [one.parent for one, _, _ in going]

    @property
    def _worst(self) -> float:
        """What a beam must surpass to be worth following."""
        return self.ended[-1].score if len(self.ended) == self.choice.beams else -AWAY

    def _final(self, score: float) -> float:
        """The score of what ends at this length."""
        counted: float = max(1, self._length) ** self.choice.length_penalty
        return score / counted

    def _hit(self, text: Text, token: int) -> bool:
        """Whether a beam ends with its new token."""
        if token in self._ends or self._length >= self._limit:
            return True
        ids = [*self._ids(text), token]
        return bool(self.choice.stop) and split(self._spell(ids), self.choice.stop)[2]

    def _end(self, candidate: Candidate, text: Text, hit: bool) -> Ended:
        last = candidate.token in self._ends
        ids = self._ids(text) if last else [*self._ids(text), candidate.token]
        itself = last and not (self.choice.forced_end and self._length >= self._limit)
        return Ended(ids, self._final(candidate.score), itself or (hit and self._length < self._limit))

    def _ids(self, text: Text) -> list[int]:
        return text.written[self._begin :]


@torch.inference_mode()
def continuations(logits: Tensor, searches: Sequence[Search]) -> list[list[Candidate] | Exception]:
    """The best continuations of each search, or the error of one whose model computed no numbers.

    `logits` are floats, one row for each beam of the first search, then the second's (`[beams, vocabulary]`).
    """
    beams = [beam for search in searches for beam in search.beams]
    sound = logits.amax(-1).isfinite().tolist()
    scores = logits.log_softmax(-1)
    restrict(scores, [beam.text for beam in beams])
    for search, rows in _rows(searches):
        if search.forced:
            # It costs nothing to end where nothing else can come, as in `generate`.
            scores[rows] = float("-inf")
            scores[rows, list(beams[rows.start].text.ends)] = 0.0
    scores += scores.new_tensor([beam.score for beam in beams])[:, None]
    found = zip(_rows(searches), _best(scores, searches), strict=True)
    return [best if all(sound[rows]) else FloatingPointError(NO_NUMBERS) for (_, rows), best in found]


def _rows(searches: Sequence[Search]) -> Iterator[tuple[Search, slice]]:
    """Which rows are whose."""
    first = 0
    for search in searches:
        yield search, slice(first, first + len(search.beams))
        first += len(search.beams)


def _best(scores: Tensor, searches: Sequence[Search]) -> Iterator[list[Candidate]]:
    """The continuations of each search with the highest scores, best first; searches of one size in one call."""
    vocabulary, first = scores.shape[1], 0
    for (beams, wanted), group in groupby(searches, lambda search: (len(search.beams), search.wanted)):
        last = first + beams * len(list(group))
        mine = scores[first:last].view(-1, beams * vocabulary)
        for values, places in zip(*(part.tolist() for part in mine.topk(min(wanted, mine.shape[1]))), strict=True):
            yield [Candidate(value, *divmod(place, vocabulary)) for value, place in zip(values, places, strict=True)]
        first = last
