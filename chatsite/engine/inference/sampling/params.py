"""Sampling parameters: the defaults of each family, and what a request makes of them.

The numbers are explained in docs/decisions/0008-decoding.md.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from chatsite.engine.types import GenerationOptions, Preset

SEED_BITS = 32
# More beams than published decodings have make answers worse, and each costs as much as one more request.
MAX_BEAMS = 16


@dataclass(frozen=True)
class SamplingParams:
    """The settings that are really used for one request.

    `temperature` 0 is greedy. `top_k` 0, `top_p` 1, `repetition_penalty` 1 and n-gram lengths of 0 do nothing. The
    penalty (Keskar et al., 2019) counts what the answer has said, never the prompt, or the model could not say the
    user's name back. No n-gram of the answer repeats within it (`no_repeat_ngram`) or quotes the prompt
    (`encoder_no_repeat_ngram`). The answer does not end before `min_new_tokens`, counted from its beginning. With more
    than one of `beams` nothing is drawn; the score of an answer is its log-probability divided by its length to the
    power of `length_penalty`, and with `forced_eos` what reaches `max_new_tokens` counts as ended there.
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
    forced_eos: bool = False
    max_new_tokens: int = 512
    stop: tuple[str, ...] = ()


ParamMapping = Mapping[str, Any]
PresetFunction = Callable[[ParamMapping], ParamMapping]
"""What a preset says, given what the family and the publisher do."""

# Names in a generation_config.json, and ours.
SAMPLING_OPTIONS = {name: name for name in ("temperature", "top_p", "top_k", "repetition_penalty")}
BEAM_OPTIONS = {
    "num_beams": "beams",
    "length_penalty": "length_penalty",
    "no_repeat_ngram_size": "no_repeat_ngram",
    "encoder_no_repeat_ngram_size": "encoder_no_repeat_ngram",
}


@dataclass(frozen=True)
class FamilyDefaults:
    """The decoding settings of a family, and what each preset means there.

    Settings that were published with the weights take precedence over `params`, and `presets` over both.
    `published_names` names the settings that are taken over from the weights' generation_config.json.
    """

    params: SamplingParams
    presets: Mapping[Preset, ParamMapping | PresetFunction]
    published_names: Mapping[str, str] = field(default_factory=lambda: SAMPLING_OPTIONS)


def _creative_chat(base: ParamMapping) -> ParamMapping:
    """Move a third of the way from a model's own settings to sampling its whole distribution."""
    return {name: base[name] + (1 - base[name]) / 3 for name in ("temperature", "top_p") if base[name] < 1}


def _blenderbot_defaults(max_new_tokens: int) -> FamilyDefaults:
    """Return the published ten beams, 3-gram blocks and lengths (Roller et al., 2020); sampling keeps the blocks."""
    base_params = SamplingParams(no_repeat_ngram=3, encoder_no_repeat_ngram=3, min_new_tokens=20)
    beam_params: dict[str, Any] = {
        "beams": 10,
        "length_penalty": 0.65,
        "forced_eos": True,
        "max_new_tokens": max_new_tokens,
    }
    return FamilyDefaults(
        replace(base_params, temperature=0.7, top_p=0.9, **beam_params),
        {
            Preset.PRECISE: beam_params,
            Preset.BALANCED: {"beams": 1, "temperature": 0.7, "top_p": 0.9, "max_new_tokens": 512},
            Preset.CREATIVE: {"beams": 1, "temperature": 1.0, "top_p": 0.95, "max_new_tokens": 512},
        },
        BEAM_OPTIONS,
    )


# What only goes on with a text repeats itself without end unless it draws or is blocked.
CONTINUATION_DEFAULTS = FamilyDefaults(
    SamplingParams(temperature=0.7, top_p=0.9, no_repeat_ngram=3),
    {
        Preset.PRECISE: {"temperature": 0.3, "top_p": 0.8},
        Preset.BALANCED: {},
        Preset.CREATIVE: {"temperature": 1.0, "top_p": 0.95},
    },
)
FAMILY_DEFAULTS = {
    # Cool, with a penalty: at four bits the smallest models wander off and repeat themselves.
    "chat": FamilyDefaults(
        SamplingParams(temperature=0.2, top_p=0.5, repetition_penalty=1.1),
        {
            Preset.PRECISE: {"temperature": 0.0},
            Preset.BALANCED: {},
            Preset.CREATIVE: _creative_chat,
        },
    ),
    "blenderbot": _blenderbot_defaults(max_new_tokens=60),
    "blenderbot-small": _blenderbot_defaults(max_new_tokens=128),
    "continuation": CONTINUATION_DEFAULTS,
    "dialogue": CONTINUATION_DEFAULTS,
    # A task has one right answer. Four beams and 0.6 are what T5 was published with (Raffel et al., 2020).
    "text-to-text": FamilyDefaults(
        SamplingParams(temperature=0.0),
        {
            Preset.PRECISE: {"beams": 4, "length_penalty": 0.6, "no_repeat_ngram": 3},
            Preset.BALANCED: {"beams": 1, "temperature": 0.0},
            Preset.CREATIVE: {"beams": 1, "temperature": 0.8, "top_p": 0.9},
        },
        {**SAMPLING_OPTIONS, **BEAM_OPTIONS},
    ),
}
REQUESTABLE_OPTIONS = (
    *SAMPLING_OPTIONS,
    *("beams", "length_penalty", "min_new_tokens", "no_repeat_ngram", "encoder_no_repeat_ngram"),
)


def resolve_params(
    family: str, published: ParamMapping, options: GenerationOptions, *, max_beams: int = MAX_BEAMS
) -> SamplingParams:
    """Resolve the sampling parameters of a request.

    Precedence: request, then preset, then `published` (the checkpoint's generation config), then family defaults. A
    temperature, top-p or top-k without beams turns beam search off. There are at most `max_beams` beams. A missing seed
    is drawn at random.
    """
    defaults = FAMILY_DEFAULTS[family]
    requested = {name: value for name in REQUESTABLE_OPTIONS if (value := getattr(options, name)) is not None}
    if {"temperature", "top_p", "top_k"} & set(requested):
        requested.setdefault("beams", 1)
    base = {**vars(defaults.params), **_published_params(defaults, published)}
    preset = defaults.presets[options.preset] if options.preset else {}
    resolved = {**base, **(preset(base) if callable(preset) else preset), **requested}
    resolved["max_new_tokens"] = _max_new_tokens(resolved, options)
    resolved["seed"] = options.seed if options.seed is not None else random.SystemRandom().getrandbits(SEED_BITS)
    resolved["stop"] = tuple(text for text in options.stop if text)
    resolved["beams"] = max(1, min(resolved["beams"], max_beams, MAX_BEAMS))
    return _without_unused(SamplingParams(**resolved))


def _published_params(defaults: FamilyDefaults, published: ParamMapping) -> dict[str, Any]:
    """Return the published settings under our names; what is no number is left out."""
    types = {name: type(value) for name, value in vars(defaults.params).items()}
    values = {
        option_name: published.get(published_name) for published_name, option_name in defaults.published_names.items()
    }
    return {
        option_name: types[option_name](value)
        for option_name, value in values.items()
        if isinstance(value, int | float)
    }


def _max_new_tokens(resolved: ParamMapping, options: GenerationOptions) -> int:
    """Return the length of an answer: a published one is for published beams, sampling goes on until it ends."""
    return min(options.max_new_tokens, resolved["max_new_tokens"]) if resolved["beams"] > 1 else options.max_new_tokens


def _without_unused(params: SamplingParams) -> SamplingParams:
    """Reset the settings that do nothing, so that a prompt report does not list them."""
    if params.beams > 1:
        return replace(params, temperature=0.0, top_p=1.0, top_k=0)
    return replace(params, length_penalty=1.0, forced_eos=False)
