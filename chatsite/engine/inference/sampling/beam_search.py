"""Beam search: several beginnings of one answer are followed at once, and the likeliest whole answer wins.

The rules are those of transformers' `generate` (`BeamHypotheses` and its successors) with `num_beams`,
`early_stopping=False` and no sampling, and tests hold them to it token by token. Of each step's best continuations
those that end are kept with a final score, their log-probability divided by their length to the power of
`length_penalty` (Wu et al., 2016); the others go on. The search is over when as many have ended as there are beams, and
the best that goes on would, if it ended here, be no better than the worst of these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor

from chatsite.engine.inference.sampling.sampler import NO_FINITE_LOGITS, SamplingState, apply_logits_processors
from chatsite.engine.inference.stop_strings import split_at_stop

# What an answer that has ended loses when it must go on because too few others are left.
ENDED_BEAM_PENALTY = 1e9


class BeamCandidate(NamedTuple):
    """A continuation: the log-probability of the whole, the beam that it continues, and its new token."""

    score: float
    parent: int
    token: int


class Beam(NamedTuple):
    """A beginning that is followed, and its log-probability."""

    state: SamplingState
    score: float


class FinishedHypothesis(NamedTuple):
    """An answer that may win: its new ids without an end token, its final score, whether it ended by itself."""

    ids: Sequence[int]
    score: float
    ended_by_eos: bool


class BeamSearch:
    """The search for one answer, which begins after what `state` has written.

    It ends after `max_new_tokens` more tokens, an end token included. `detokenize` returns the text of new ids, for
    params with stop strings. `beams` are followed, best first; `finished` are the best hypotheses, best first.
    """

    def __init__(self, state: SamplingState, max_new_tokens: int, detokenize: Callable[[Sequence[int]], str]) -> None:
        self.params = state.params
        self.beams = [Beam(state, 0.0)]
        self.finished: list[FinishedHypothesis] = []
        self.is_done = False
        self._eos_ids = state.eos_ids
        self._prefix_length = len(state.written_ids)
        self._max_new_tokens = max_new_tokens
        self._detokenize = detokenize
        self._length = 0

    @property
    def num_candidates(self) -> int:
        """The number of continuations to look at: enough to go on with, even if each beam ends in every way."""
        return max(2, 1 + len(self._eos_ids)) * self.params.beams

    @property
    def must_end(self) -> bool:
        """Whether nothing but the end can come next."""
        return self.params.forced_eos and self._length == self._max_new_tokens - 1 and bool(self._eos_ids)

    @property
    def best_hypothesis(self) -> FinishedHypothesis:
        """The best answer so far; once the search is over, the best of those that have ended."""
        running = FinishedHypothesis(self._new_ids(self.beams[0].state), self._final_score(self.beams[0].score), False)
        if not self.finished or (not self.is_done and running.score > self.finished[0].score):
            return running
        return self.finished[0]

    def advance_beams(self, candidates: Sequence[BeamCandidate]) -> list[int]:
        """Go on with some of the candidates, which come best first; return each beam's parent."""
        # Candidates name the beams of the last step; these are replaced below.
        states = [self.beams[item.parent].state for item in candidates]
        self._length += 1
        is_end = [self._is_end(state, item.token) for state, item in zip(states, candidates, strict=True)]
        rated = list(zip(candidates, states, is_end, strict=True))
        # Only the best `beams` candidates may end here: a worse one that ends is no answer to keep, as in `generate`.
        hypotheses = [self._finish_beam(*candidate) for candidate in rated[: self.params.beams] if candidate[2]]
        self.finished = sorted([*self.finished, *hypotheses], key=lambda one: -one.score)[: self.params.beams]
        # Those that have ended go on only where too few have not.
        continuing = [candidate for candidate in rated if not candidate[2]] + [
            candidate for candidate in rated if candidate[2]
        ]
        continuing = continuing[: self.params.beams]
        self.beams = [
            Beam(state.fork_with(candidate.token), candidate.score - ENDED_BEAM_PENALTY * ends_here)
            for candidate, state, ends_here in continuing
        ]
        # A heuristic of `generate`: with a positive length penalty a longer answer might still win, which is unlikely.
        self.is_done = all(is_end) or self._final_score(self.beams[0].score) <= self._score_to_beat
        return [candidate.parent for candidate, _, _ in continuing]

    @property
    def _score_to_beat(self) -> float:
        """The score that a beam must surpass to be worth following."""
        return self.finished[-1].score if len(self.finished) == self.params.beams else -ENDED_BEAM_PENALTY

    def _final_score(self, score: float) -> float:
        """Return the score of a hypothesis that ends at this length."""
        length_divisor: float = max(1, self._length) ** self.params.length_penalty
        return score / length_divisor

    def _is_end(self, state: SamplingState, token: int) -> bool:
        """Say whether a beam ends with its new token."""
        if token in self._eos_ids or self._length >= self._max_new_tokens:
            return True
        # Text is made only if there is a stop string to look for: it is the dearest part of a step.
        ids = [*self._new_ids(state), token]
        return bool(self.params.stop) and split_at_stop(self._detokenize(ids), self.params.stop)[2]

    def _finish_beam(self, candidate: BeamCandidate, state: SamplingState, ends_here: bool) -> FinishedHypothesis:
        is_eos = candidate.token in self._eos_ids
        ids = self._new_ids(state) if is_eos else [*self._new_ids(state), candidate.token]
        ended_by_eos = is_eos and not (self.params.forced_eos and self._length >= self._max_new_tokens)
        return FinishedHypothesis(
            ids, self._final_score(candidate.score), ended_by_eos or (ends_here and self._length < self._max_new_tokens)
        )

    def _new_ids(self, state: SamplingState) -> list[int]:
        return state.written_ids[self._prefix_length :]


@torch.inference_mode()
def top_candidates(logits: Tensor, searches: Sequence[BeamSearch]) -> list[list[BeamCandidate] | Exception]:
    """Return the best continuations of each search, or the error of one whose logits are no numbers.

    `logits` are floats, one row for each beam of the first search, then the second's (`[beams, vocabulary]`).
    """
    beams = [beam for search in searches for beam in search.beams]
    # Before the processors: banned tokens are minus infinity on purpose.
    is_finite = logits.amax(-1).isfinite().tolist()
    scores = logits.log_softmax(-1)
    apply_logits_processors(scores, [beam.state for beam in beams])
    for search, rows in _iter_search_rows(searches):
        if search.must_end:
            # It costs nothing to end where nothing else can come, as in `generate`.
            scores[rows] = float("-inf")
            scores[rows, list(beams[rows.start].state.eos_ids)] = 0.0
    scores += scores.new_tensor([beam.score for beam in beams])[:, None]
    ranked = zip(_iter_search_rows(searches), _iter_top_candidates(scores, searches), strict=True)
    return [best if all(is_finite[rows]) else FloatingPointError(NO_FINITE_LOGITS) for (_, rows), best in ranked]


def _iter_search_rows(searches: Sequence[BeamSearch]) -> Iterator[tuple[BeamSearch, slice]]:
    """Yield each search with its rows of the logits."""
    begin = 0
    for search in searches:
        yield search, slice(begin, begin + len(search.beams))
        begin += len(search.beams)


def _iter_top_candidates(scores: Tensor, searches: Sequence[BeamSearch]) -> Iterator[list[BeamCandidate]]:
    """Yield the continuations of each search with the highest scores, best first.

    Searches of one size are ranked in one call.
    """
    vocabulary, begin = scores.shape[1], 0
    for (num_beams, num_candidates), group in groupby(
        searches, lambda search: (len(search.beams), search.num_candidates)
    ):
        end = begin + num_beams * len(list(group))
        search_scores = scores[begin:end].view(-1, num_beams * vocabulary)
        for values, flat_indices in zip(
            *(part.tolist() for part in search_scores.topk(min(num_candidates, search_scores.shape[1]))), strict=True
        ):
            yield [
                BeamCandidate(value, *divmod(flat_index, vocabulary))
                for value, flat_index in zip(values, flat_indices, strict=True)
            ]
        begin = end
