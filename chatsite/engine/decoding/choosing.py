"""Which token comes next: penalties and blocks first, then temperature, top-k and top-p, then a seeded draw.

The draw at a position depends on the seed and the position alone. So an answer that is taken up again after a
crash goes on as it would have, and what else the engine works on at the time does not matter.
"""

from __future__ import annotations

import bisect
import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from chatsite.engine import Options

SEED_BITS = 32
# How many of the likeliest tokens are sorted before all are.
FEW = 128


@dataclass(frozen=True)
class Choice:
    """The settings of a choice.

    `temperature` 0 is greedy. `top_k` 0, `top_p` 1, `repetition_penalty` 1 and n-gram lengths of 0 do
    nothing. The penalty counts what the answer has said, never the prompt, or the model could not say the
    visitor's name back. No n-gram of the answer repeats within it (`no_repeat_ngram`) or quotes the prompt
    (`encoder_no_repeat_ngram`). The answer does not end before `min_new_tokens`, counted from its beginning.
    """

    temperature: float = 0.2
    top_p: float = 0.9
    top_k: int = 0
    repetition_penalty: float = 1.0
    no_repeat_ngram: int = 0
    encoder_no_repeat_ngram: int = 0
    min_new_tokens: int = 0
    seed: int = 0


DEFAULTS = {
    # Cool, with a penalty: at four bits the smallest models wander off and repeat themselves.
    "chat": Choice(temperature=0.2, top_p=0.5, repetition_penalty=1.1),
    # BlenderBot was published with ten beams, which cannot stream; blocks and least length are its own.
    "blenderbot": Choice(temperature=0.7, top_p=0.9, no_repeat_ngram=3, encoder_no_repeat_ngram=3, min_new_tokens=20),
}
PUBLISHED = {"temperature": float, "top_p": float, "top_k": int, "repetition_penalty": float}


def settle(family: str, published: Mapping[str, Any], options: Options) -> Choice:
    """The request's own wishes, else what was published with the weights, else the family's defaults.

    A random seed is drawn when none is wished for.
    """
    chosen: dict[str, Any] = {}
    for name, kind in PUBLISHED.items():
        wish = getattr(options, name)
        value = wish if wish is not None else published.get(name)
        if isinstance(value, int | float):
            chosen[name] = kind(value)
    seed = options.seed if options.seed is not None else random.SystemRandom().getrandbits(SEED_BITS)
    return Choice(**{**vars(DEFAULTS[family]), **chosen, "seed": seed})


class Text(NamedTuple):
    """What a choice depends on besides the model: the prompt, the answer so far, the settings, the end tokens."""

    prompt: Sequence[int]
    written: Sequence[int]
    choice: Choice
    ends: Collection[int]


def choose(logits: Tensor, prompt: Sequence[int], written: Sequence[int], choice: Choice, ends: Collection[int]) -> int:
    """The next token's id, given what the model expects, the prompt and the answer so far.

    `logits` are floats of the shape `[vocabulary]` and are changed in place; `ends` are the ids that end an
    answer. Raises FloatingPointError when the model computed no numbers.
    """
    token = choose_rows(logits[None], [Text(prompt, written, choice, ends)])[0]
    if isinstance(token, Exception):
        raise token
    return token


@torch.inference_mode()
def choose_rows(logits: Tensor, texts: Sequence[Text]) -> list[int | Exception]:
    """The next token of each text (`logits` `[texts, vocabulary]`), or the error of one that has no numbers."""
    for row, text in zip(logits, texts, strict=True):
        _restrict(row, text)
    highest, best = logits.max(-1)
    tokens: list[int | Exception] = list(best.tolist())
    for i, finite in enumerate(highest.isfinite().tolist()):
        if not finite:
            tokens[i] = FloatingPointError("The model computed no number for any token.")
    drawn = [i for i, text in enumerate(texts) if text.choice.temperature > 0 and not isinstance(tokens[i], Exception)]
    if drawn:
        chosen = logits if len(drawn) == len(texts) else logits[drawn]
        for i, token in zip(drawn, _draw(chosen, [texts[i] for i in drawn]), strict=True):
            tokens[i] = token
    return tokens


def _restrict(logits: Tensor, text: Text) -> None:
    """Penalise and forbid, in place."""
    choice, written = text.choice, text.written
    _penalise(logits, written, choice.repetition_penalty)
    blocked = [*_blocked(written, written, choice.no_repeat_ngram)]
    blocked += _blocked(text.prompt, written, choice.encoder_no_repeat_ngram)
    blocked += text.ends if len(written) < choice.min_new_tokens else ()
    if blocked:
        logits[blocked] = float("-inf")


def _penalise(logits: Tensor, ids: Sequence[int], penalty: float) -> None:
    if penalty != 1.0 and ids:
        unique = sorted(set(ids))
        scores = logits[unique]
        logits[unique] = (scores / penalty).where(scores > 0, scores * penalty)


def _blocked(text: Sequence[int], written: Sequence[int], length: int) -> Iterable[int]:
    """The tokens that would complete an n-gram of `length` which `text` already has."""
    if length < 1 or len(written) < length - 1:
        return []
    tail = tuple(written[len(written) - length + 1 :])
    begins = range(len(text) - length + 1)
    return [text[i + length - 1] for i in begins if tuple(text[i : i + length - 1]) == tail]


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
