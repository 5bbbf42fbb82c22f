"""Which token comes next: penalties and blocks first, then temperature, top-k and top-p, then a seeded draw.

The draw at a position depends on the seed and the position alone. So an answer that is taken up again after a
crash goes on as it would have, and what else the engine works on at the time does not matter.
"""

from __future__ import annotations

import bisect
import random
from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from chatsite.engine.decoding.presets import Choice

# How many of the likeliest tokens are sorted before all are.
FEW = 128
NO_NUMBERS = "The model computed no number for any token."


class Grams:
    """What has followed each run of `length - 1` tokens in a text; nothing for a length of 0."""

    def __init__(self, length: int, ids: Sequence[int] = ()) -> None:
        self._length = max(0, length)
        self._after: dict[tuple[int, ...], tuple[int, ...]] = {}
        for end in range(self._length, len(ids) + 1) if self._length else ():
            self._note(ids[end - self._length : end])

    def copy(self) -> Grams:
        """Another one, to go on from here in another way."""
        copied = Grams(self._length)
        copied._after = self._after.copy()
        return copied

    def grow(self, text: Sequence[int]) -> None:
        """One more token stands at the end of the text."""
        if self._length and len(text) >= self._length:
            self._note(text[-self._length :])

    def after(self, text: Sequence[int]) -> tuple[int, ...]:
        """The tokens that would complete a run that was there before."""
        begin = len(text) - self._length + 1
        return self._after.get(tuple(text[begin:]), ()) if self._length and begin >= 0 else ()

    def _note(self, gram: Sequence[int]) -> None:
        before = tuple(gram[:-1])
        self._after[before] = (*self._after.get(before, ()), gram[-1])


class Text:
    """What a choice depends on besides the model: the prompt, the answer so far, the settings, the ids that end it."""

    def __init__(self, prompt: Sequence[int], written: Sequence[int], choice: Choice, ends: Collection[int]) -> None:
        self.written = [*written]
        self.choice = choice
        self.ends = ends
        self._quoted = Grams(choice.encoder_no_repeat_ngram, prompt)
        self._said = Grams(choice.no_repeat_ngram, written)

    def push(self, token: int) -> None:
        """The answer has one more token."""
        self.written.append(token)
        self._said.grow(self.written)

    def forked(self, token: int) -> Text:
        """The answer with one more token, beside this one."""
        other = Text.__new__(Text)
        other.written, other.choice, other.ends = [*self.written], self.choice, self.ends
        other._quoted, other._said = self._quoted, self._said.copy()
        other.push(token)
        return other

    def forbidden(self) -> list[int]:
        """The tokens that must not come next."""
        early = self.ends if len(self.written) < self.choice.min_new_tokens else ()
        return [*self._said.after(self.written), *self._quoted.after(self.written), *early]


def choose(logits: Tensor, text: Text) -> int:
    """The next token's id, given what the model expects: floats of the shape `[vocabulary]`, changed in place.

    Raises FloatingPointError when the model computed no numbers.
    """
    token = choose_rows(logits[None], [text])[0]
    if isinstance(token, Exception):
        raise token
    return token


@torch.inference_mode()
def choose_rows(logits: Tensor, texts: Sequence[Text]) -> list[int | Exception]:
    """The next token of each text (`logits` `[texts, vocabulary]`), or the error of one that has no numbers."""
    restrict(logits, texts)
    highest, best = logits.max(-1)
    tokens: list[int | Exception] = list(best.tolist())
    for i, finite in enumerate(highest.isfinite().tolist()):
        if not finite:
            tokens[i] = FloatingPointError(NO_NUMBERS)
    drawn = [i for i, text in enumerate(texts) if text.choice.temperature > 0 and not isinstance(tokens[i], Exception)]
    if drawn:
        chosen = logits if len(drawn) == len(texts) else logits[drawn]
        for i, token in zip(drawn, _draw(chosen, [texts[i] for i in drawn]), strict=True):
            tokens[i] = token
    return tokens


def restrict(scores: Tensor, texts: Sequence[Text]) -> None:
    """Penalise what each text has said and forbid what it must not say, in place (`[texts, vocabulary]`)."""
    rows: list[int] = []
    tokens: list[int] = []
    for i, text in enumerate(texts):
        _penalise(scores[i], text.written, text.choice.repetition_penalty)
        forbidden = text.forbidden()
        rows += [i] * len(forbidden)
        tokens += forbidden
    if rows:
        scores[rows, tokens] = float("-inf")


def _penalise(scores: Tensor, ids: Sequence[int], penalty: float) -> None:
    if penalty != 1.0 and ids:
        unique = sorted(set(ids))
        chosen = scores[unique]
        scores[unique] = (chosen / penalty).where(chosen > 0, chosen * penalty)


def _draw(logits: Tensor, texts: Sequence[Text]) -> list[int]:
    """Sample each row (`[texts, vocabulary]`) from the smallest set of likeliest tokens that holds `top_p`.

    Sorting a whole vocabulary takes as long as a small model's step, so only the likeliest few are sorted; a
    row whose set goes beyond them is sorted in full.
    """
    few = min(FEW, logits.shape[1])
    temperatures = logits.new_tensor([text.choice.temperature for text in texts])[:, None]
    scores, ids = _likeliest(logits, few)
    peak = scores[:, :1]
    totals = ((logits - peak) / temperatures).exp_().sum(-1, dtype=torch.double).tolist()
    weights = ((scores - peak).double() / temperatures.double()).exp_().cpu()
    tokens = []
    for i, text in enumerate(texts):
        size = logits.shape[1]
        token = _draw_few(scores[i].cpu(), weights[i], ids[i].tolist(), totals[i], text, size)
        tokens.append(_draw_all(logits[i], text) if token is None else token)
    return tokens


def _draw_few(
    scores: Tensor, weights: Tensor, ids: Sequence[int], total: float, text: Text, vocabulary: int
) -> int | None:
    """The drawn one of the likeliest tokens, or None if others may belong to the set it is drawn from.

    `scores`, `weights` and `ids` are those of the likeliest, `total` is the weight of the whole `vocabulary`.
    """
    few = len(ids)
    most = text.choice.top_k or vocabulary
    if few < most < vocabulary:
        return None
    shares = weights[:most] / (float(weights[:most].sum()) if most <= few else total)
    sums = shares.cumsum(0)
    kept = int(((sums - shares) < text.choice.top_p).sum())
    # Of equal scores some may be among the likeliest and others not.
    whole = few == vocabulary or bool(scores[max(kept, 1) - 1] > scores[-1])
    return _pick(sums[:kept].tolist(), ids, text) if whole else None


def _likeliest(logits: Tensor, few: int) -> tuple[Tensor, Tensor]:
    """Scores and ids of the `few` likeliest, in falling order; of equals, the lower id goes first."""
    scores, ids = logits.topk(few)
    ids, order = ids.sort()
    scores, order = scores.gather(1, order).sort(descending=True, stable=True)
    return scores, ids.gather(1, order)


def _draw_all(logits: Tensor, text: Text) -> int:
    """Sample from one row (`[vocabulary]`), sorted in full."""
    scores, ids = logits.double().sort(descending=True, stable=True)
    weights = (scores[: text.choice.top_k or None] / text.choice.temperature).softmax(0)
    sums = weights.cumsum(0)
    return _pick(sums[(sums - weights) < text.choice.top_p].tolist(), ids, text)


def _pick(sums: Sequence[float], ids: Sequence[int] | Tensor, text: Text) -> int:
    """The token on which the seeded draw falls; `sums` are the running sums of the weights of the first `ids`."""
    if not sums:
        return int(ids[0])
    point = random.Random(f"{text.choice.seed}:{len(text.written)}").random() * sums[-1]  # noqa: S311 - no secret.
    return int(ids[min(bisect.bisect_right(sums, point), len(sums) - 1)])
