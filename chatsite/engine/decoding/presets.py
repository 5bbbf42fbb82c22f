"""How each family chooses its tokens, and what a request makes of that (docs/decisions/decoding.md)."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from chatsite.engine import Options, Preset

SEED_BITS = 32
# More beams than published decodings have make answers worse, and each costs as much as a visitor.
MOST_BEAMS = 16


@dataclass(frozen=True)
class Choice:
    """The settings of a choice.

    `temperature` 0 is greedy. `top_k` 0, `top_p` 1, `repetition_penalty` 1 and n-gram lengths of 0 do
    nothing. The penalty counts what the answer has said, never the prompt, or the model could not say the
    visitor's name back. No n-gram of the answer repeats within it (`no_repeat_ngram`) or quotes the prompt
    (`encoder_no_repeat_ngram`). The answer does not end before `min_new_tokens`, counted from its beginning.
    With more than one of `beams` nothing is drawn; the score of an answer is its log-probability divided by its length
    to the power of `length_penalty`, and with `forced_end` what reaches `max_new_tokens` counts as ended there.
    """

    temperature: float = 0.2
    top_p: float = 0.9
    top_k: int = 0
    repetition_penalty: float = 1.0
    no_repeat_ngram: int = 0
    encoder_no_repeat_ngram: int = 0
    min_new_tokens: int = 0
    seed: int = 0
    beams: int = 1
    length_penalty: float = 1.0
    forced_end: bool = False
    max_new_tokens: int = 512
    stop: tuple[str, ...] = ()


Settings = Mapping[str, Any]
Preference = Callable[[Settings], Settings]
"""What a preset says, given what the family and the publisher do."""

# Names in a generation_config.json, and ours.
DRAWING = {name: name for name in ("temperature", "top_p", "top_k", "repetition_penalty")}
SEARCHING = {
    "num_beams": "beams",
    "length_penalty": "length_penalty",
    "no_repeat_ngram_size": "no_repeat_ngram",
    "encoder_no_repeat_ngram_size": "encoder_no_repeat_ngram",
}


@dataclass(frozen=True)
class Manners:
    """A family's default, which what was published with the weights goes before, and its presets, which go before both.

    `published` names the settings that are taken over from the weights' generation_config.json.
    """

    default: Choice
    presets: Mapping[Preset, Settings | Preference]
    published: Mapping[str, str] = field(default_factory=lambda: DRAWING)


def _warmer(base: Settings) -> Settings:
    """A third of the way from where a model is at its best to where all of its tokens are drawn as it expects them."""
    return {name: base[name] + (1 - base[name]) / 3 for name in ("temperature", "top_p") if base[name] < 1}


def _blenderbot(most: int) -> Manners:
    """Ten beams, 3-gram blocks and both lengths are published (Roller et al., 2020); a draw keeps the blocks."""
    blocks = Choice(no_repeat_ngram=3, encoder_no_repeat_ngram=3, min_new_tokens=20)
    search: dict[str, Any] = {"beams": 10, "length_penalty": 0.65, "forced_end": True, "max_new_tokens": most}
    return Manners(
        replace(blocks, temperature=0.7, top_p=0.9, **search),
        {
            Preset.PRECISE: search,
            Preset.BALANCED: {"beams": 1, "temperature": 0.7, "top_p": 0.9, "max_new_tokens": 512},
            Preset.CREATIVE: {"beams": 1, "temperature": 1.0, "top_p": 0.95, "max_new_tokens": 512},
        },
        SEARCHING,
    )


# What only goes on with a text repeats itself without end unless it draws or is blocked.
CONTINUING = Manners(
    Choice(temperature=0.7, top_p=0.9, no_repeat_ngram=3),
    {
        Preset.PRECISE: {"temperature": 0.3, "top_p": 0.8},
        Preset.BALANCED: {},
        Preset.CREATIVE: {"temperature": 1.0, "top_p": 0.95},
    },
)
FAMILIES = {
    # Cool, with a penalty: at four bits the smallest models wander off and repeat themselves.
    "chat": Manners(
        Choice(temperature=0.2, top_p=0.5, repetition_penalty=1.1),
        {
            Preset.PRECISE: {"temperature": 0.0},
            Preset.BALANCED: {},
            Preset.CREATIVE: _warmer,
        },
    ),
    "blenderbot": _blenderbot(most=60),
    "blenderbot-small": _blenderbot(most=128),
    "continuation": CONTINUING,
    "dialogue": CONTINUING,
    # A task has one right answer. Four beams and 0.6 are what T5 was published with (Raffel et al., 2020).
    "text-to-text": Manners(
        Choice(temperature=0.0),
        {
            Preset.PRECISE: {"beams": 4, "length_penalty": 0.6, "no_repeat_ngram": 3},
            Preset.BALANCED: {"beams": 1, "temperature": 0.0},
            Preset.CREATIVE: {"beams": 1, "temperature": 0.8, "top_p": 0.9},
        },
        {**DRAWING, **SEARCHING},
    ),
}
WISHES = (
    *DRAWING,
    *("beams", "length_penalty", "min_new_tokens", "no_repeat_ngram", "encoder_no_repeat_ngram"),
)


def settle(family: str, published: Settings, options: Options, breadth: int = MOST_BEAMS) -> Choice:
    """What a request wishes, else what its preset says, else what was published with the weights, else the family's.

    Who wishes for a temperature or a part of the likeliest wishes for a draw, unless for beams too. There are at most
    `breadth` beams. A random seed is drawn when none is wished for.
    """
    manners = FAMILIES[family]
    wishes = {name: wish for name in WISHES if (wish := getattr(options, name)) is not None}
    if {"temperature", "top_p", "top_k"} & set(wishes):
        wishes.setdefault("beams", 1)
    base = {**vars(manners.default), **_taken(manners, published)}
    preset = manners.presets[options.preset] if options.preset else {}
    chosen = {**base, **(preset(base) if callable(preset) else preset), **wishes}
    chosen["max_new_tokens"] = _most(chosen, options)
    chosen["seed"] = options.seed if options.seed is not None else random.SystemRandom().getrandbits(SEED_BITS)
    chosen["stop"] = tuple(text for text in options.stop if text)
    chosen["beams"] = max(1, min(chosen["beams"], breadth, MOST_BEAMS))
    return _tidied(Choice(**chosen))


def _taken(manners: Manners, published: Settings) -> dict[str, Any]:
    """The published settings under our names; what is no number is left."""
    kinds = {name: type(value) for name, value in vars(manners.default).items()}
    found = {ours: published.get(theirs) for theirs, ours in manners.published.items()}
    return {ours: kinds[ours](value) for ours, value in found.items() if isinstance(value, int | float)}


def _most(chosen: Settings, options: Options) -> int:
    """A published length is for published beams; what is drawn goes on until it ends."""
    return min(options.max_new_tokens, chosen["max_new_tokens"]) if chosen["beams"] > 1 else options.max_new_tokens


def _tidied(choice: Choice) -> Choice:
    """Without the settings that do nothing, so that a receipt does not tell of them."""
    if choice.beams > 1:
        return replace(choice, temperature=0.0, top_p=1.0, top_k=0)
    return replace(choice, length_penalty=1.0, forced_end=False)
