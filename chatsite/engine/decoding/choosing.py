"""Which token comes next: penalties and blocks first, then temperature, top-k and top-p, then a seeded draw.

The draw at a position depends on the seed and the position alone. So an answer that is taken up again after a
crash goes on as it would have, and what else the engine works on at the time does not matter.
"""

from __future__ import annotations

import bisect
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from chatsite.engine import Options

SEED_BITS = 32


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


@torch.inference_mode()
def choose(logits: Tensor, prompt: Sequence[int], written: Sequence[int], choice: Choice, ends: Iterable[int]) -> int:
    """The next token's id, given what the model expects, the prompt and the answer so far.

    `logits` are floats of the shape `[vocabulary]` and are changed in place; `ends` are the ids that end an
    answer. Raises FloatingPointError when the model computed no numbers.
    """
    _penalise(logits, written, choice.repetition_penalty)
    blocked = [*_blocked(written, written, choice.no_repeat_ngram)]
    blocked += _blocked(prompt, written, choice.encoder_no_repeat_ngram)
    blocked += ends if len(written) < choice.min_new_tokens else ()
    if blocked:
        logits[blocked] = float("-inf")
    best = int(logits.argmax())
    if not logits[best].isfinite():
        raise FloatingPointError("The model computed no number for any token.")
    return best if choice.temperature <= 0 else _draw(logits, choice, len(written))


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


def _draw(logits: Tensor, choice: Choice, position: int) -> int:
    """Sample from the smallest set of likeliest tokens that holds `top_p` of what `top_k` leaves."""
    scores, ids = logits.double().sort(descending=True, stable=True)
    weights = (scores[: choice.top_k or None] / choice.temperature).softmax(0)
    sums = weights.cumsum(0)
    sums = sums[(sums - weights) < choice.top_p]
    if not len(sums):
        return int(ids[0])
    point = random.Random(f"{choice.seed}:{position}").random() * float(sums[-1])  # noqa: S311 - not a secret.
    return int(ids[min(bisect.bisect_right(sums.tolist(), point), len(sums) - 1)])
