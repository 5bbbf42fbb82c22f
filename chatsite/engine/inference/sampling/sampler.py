"""The choice of the next token: penalties and blocks first, then temperature, top-k and top-p, then a seeded draw.

The draw at a position depends on the seed and the position alone. So an answer that is taken up again after a crash
goes on as it would have, and other requests of the time do not matter.
"""

from __future__ import annotations

import bisect
import random
from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from chatsite.engine.inference.sampling.params import SamplingParams

# How many of the likeliest tokens are sorted before all are.
TOP_CANDIDATES = 128
NO_FINITE_LOGITS = "The model computed no number for any token."


class NgramBlocker:
    """Remembers which tokens followed each run of `length - 1` tokens in a text; nothing for a length of 0."""

    def __init__(self, length: int, ids: Sequence[int] = ()) -> None:
        self._length = max(0, length)
        self._continuations: dict[tuple[int, ...], tuple[int, ...]] = {}
        for end in range(self._length, len(ids) + 1) if self._length else ():
            self._record_ngram(ids[end - self._length : end])

    def copy_state(self) -> NgramBlocker:
        """Return a copy, to go on from here in another way."""
        copied = NgramBlocker(self._length)
        # A shallow copy is enough: the values are tuples, which never change.
        copied._continuations = self._continuations.copy()
        return copied

    def append_ngram(self, ids: Sequence[int]) -> None:
        """Record the n-gram at the end of `ids`, a text that has one more token now."""
        if self._length and len(ids) >= self._length:
            self._record_ngram(ids[-self._length :])

    def banned_after(self, ids: Sequence[int]) -> tuple[int, ...]:
        """Return the tokens that would complete an n-gram of the text after `ids`."""
        begin = len(ids) - self._length + 1
        return self._continuations.get(tuple(ids[begin:]), ()) if self._length and begin >= 0 else ()

    def _record_ngram(self, gram: Sequence[int]) -> None:
        context = tuple(gram[:-1])
        self._continuations[context] = (*self._continuations.get(context, ()), gram[-1])


class SamplingState:
    """What a choice depends on besides the logits: prompt, answer so far, parameters, and the ids that end it."""

    def __init__(
        self, prompt_ids: Sequence[int], written_ids: Sequence[int], params: SamplingParams, *, eos_ids: Collection[int]
    ) -> None:
        self.written_ids = [*written_ids]
        self.params = params
        self.eos_ids = eos_ids
        self._prompt_ngrams = NgramBlocker(params.encoder_no_repeat_ngram, prompt_ids)
        self._written_ngrams = NgramBlocker(params.no_repeat_ngram, written_ids)

    def append_token(self, token: int) -> None:
        """Append one token to the answer."""
        self.written_ids.append(token)
        self._written_ngrams.append_ngram(self.written_ids)

    def fork_with(self, token: int) -> SamplingState:
        """Return a copy whose answer has one more token."""
        # Not by __init__, which would collect all n-grams of prompt and answer anew for every beam at every step.
        other = SamplingState.__new__(SamplingState)
        other.written_ids, other.params, other.eos_ids = [*self.written_ids], self.params, self.eos_ids
        # The prompt is the same for all beams, so they share its n-grams.
        other._prompt_ngrams, other._written_ngrams = self._prompt_ngrams, self._written_ngrams.copy_state()
        other.append_token(token)
        return other

    def banned_tokens(self) -> list[int]:
        """Return the tokens that must not come next."""
        early_eos_ids = self.eos_ids if len(self.written_ids) < self.params.min_new_tokens else ()
        return [
            *self._written_ngrams.banned_after(self.written_ids),
            *self._prompt_ngrams.banned_after(self.written_ids),
            *early_eos_ids,
        ]


@torch.inference_mode()
def sample_batch(logits: Tensor, states: Sequence[SamplingState]) -> list[int | Exception]:
    """Return the next token of each answer, or the error of one whose logits are no numbers.

    `logits` are `[answers, vocabulary]` and are changed in place.
    """
    apply_logits_processors(logits, states)
    highest, likeliest = logits.max(-1)
    # Greedy for all first: it costs one pass, and sampled rows are overwritten.
    tokens: list[int | Exception] = list(likeliest.tolist())
    for i, finite in enumerate(highest.isfinite().tolist()):
        if not finite:
            tokens[i] = FloatingPointError(NO_FINITE_LOGITS)
    sampled_rows = [
        i for i, state in enumerate(states) if state.params.temperature > 0 and not isinstance(tokens[i], Exception)
    ]
    if sampled_rows:
        sampled_logits = logits if len(sampled_rows) == len(states) else logits[sampled_rows]
        for i, token in zip(sampled_rows, _sample_rows(sampled_logits, [states[i] for i in sampled_rows]), strict=True):
            tokens[i] = token
    return tokens


def apply_logits_processors(scores: Tensor, states: Sequence[SamplingState]) -> None:
    """Penalize and ban tokens of each answer in place (`scores` is `[answers, vocabulary]`)."""
    rows: list[int] = []
    tokens: list[int] = []
    for i, state in enumerate(states):
        _apply_repetition_penalty(scores[i], state.written_ids, state.params.repetition_penalty)
        banned = state.banned_tokens()
        rows += [i] * len(banned)
        tokens += banned
    if rows:
        scores[rows, tokens] = float("-inf")


def _apply_repetition_penalty(scores: Tensor, ids: Sequence[int], penalty: float) -> None:
    if penalty != 1.0 and ids:
        unique = sorted(set(ids))
        chosen = scores[unique]
        scores[unique] = (chosen / penalty).where(chosen > 0, chosen * penalty)


def _sample_rows(logits: Tensor, states: Sequence[SamplingState]) -> list[int]:
    """Sample each row (`[answers, vocabulary]`) from the smallest set of likeliest tokens that holds `top_p`.

    This is nucleus sampling (Holtzman et al., 2020). Sorting a whole vocabulary takes as long as a small model's step,
    so only the likeliest few are sorted; a row whose set goes beyond them is sorted in full.
    """
    candidate_count = min(TOP_CANDIDATES, logits.shape[1])
    temperatures = logits.new_tensor([state.params.temperature for state in states])[:, None]
    scores, ids = _top_tokens(logits, candidate_count)
    peak = scores[:, :1]
    totals = ((logits - peak) / temperatures).exp_().sum(-1, dtype=torch.double).tolist()
    # Doubles on the processor: sums of 32-bit floats depend on the number of threads, and a seed must repeat.
    weights = ((scores - peak).double() / temperatures.double()).exp_().cpu()
    tokens = []
    for i, state in enumerate(states):
        vocabulary_size = logits.shape[1]
        token = _sample_from_top(
            scores[i].cpu(), weights[i], ids[i].tolist(), total=totals[i], state=state, vocabulary_size=vocabulary_size
        )
        tokens.append(_sample_full(logits[i], state) if token is None else token)
    return tokens


def _sample_from_top(  # noqa: PLR0913 One row of a batch, as its caller has it.
    scores: Tensor, weights: Tensor, ids: Sequence[int], *, total: float, state: SamplingState, vocabulary_size: int
) -> int | None:
    """Sample from the likeliest tokens; return None if others may belong to the set that is sampled from.

    `scores`, `weights` and `ids` are those of the likeliest, `total` is the weight of the whole vocabulary of
    `vocabulary_size` tokens.
    """
    candidate_count = len(ids)
    top_k = state.params.top_k or vocabulary_size
    if candidate_count < top_k < vocabulary_size:
        return None
    probabilities = weights[:top_k] / (float(weights[:top_k].sum()) if top_k <= candidate_count else total)
    cumulative = probabilities.cumsum(0)
    nucleus_size = int(((cumulative - probabilities) < state.params.top_p).sum())
    # Of equal scores some may be among the likeliest and others not.
    is_complete = candidate_count == vocabulary_size or bool(scores[max(nucleus_size, 1) - 1] > scores[-1])
    return _inverse_cdf(cumulative[:nucleus_size].tolist(), ids, state) if is_complete else None


def _top_tokens(logits: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return scores and ids of the `count` likeliest, in falling order; of equals, the lower id goes first."""
    scores, ids = logits.topk(count)
    ids, order = ids.sort()
    scores, order = scores.gather(1, order).sort(descending=True, stable=True)
    return scores, ids.gather(1, order)


def _sample_full(logits: Tensor, state: SamplingState) -> int:
    """Sample from one row (`[vocabulary]`), sorted in full."""
    scores, ids = logits.double().sort(descending=True, stable=True)
    weights = (scores[: state.params.top_k or None] / state.params.temperature).softmax(0)
    cumulative = weights.cumsum(0)
    return _inverse_cdf(cumulative[(cumulative - weights) < state.params.top_p].tolist(), ids, state)


def _inverse_cdf(cumulative: Sequence[float], ids: Sequence[int] | Tensor, state: SamplingState) -> int:
    """Return the token on which the seeded draw falls; `cumulative` are running sums of the weights of `ids`."""
    if not cumulative:
        return int(ids[0])
    # Seeded by the position too, so that no state has to be carried over a crash.
    target = random.Random(f"{state.params.seed}:{len(state.written_ids)}").random() * cumulative[-1]  # noqa: S311 - no secret.
    return int(ids[min(bisect.bisect_right(cumulative, target), len(cumulative) - 1)])
