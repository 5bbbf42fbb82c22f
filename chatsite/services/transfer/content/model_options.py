"""Generation options of a conversation, as this site and other products write them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chatsite.services.chat.chat_settings import NUMERIC_OPTIONS
from chatsite.services.transfer.coercion import as_float

# What Open WebUI calls the options that this site has too.
_NAMES = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "repeat_penalty": "repetition_penalty",
    "max_tokens": "max_new_tokens",
    "num_predict": "max_new_tokens",
    "seed": "seed",
}


def parse_options(values: Mapping[str, Any]) -> dict[str, float] | None:
    """Return the generation options that exist and are within their bounds; None if there are none."""
    options = {}
    for key, value in values.items():
        option = NUMERIC_OPTIONS.get(key)
        number = as_float(value)
        if (
            option
            and number is not None
            and option.minimum <= number <= max(option.maximum, 100_000 if option.is_integer else 0)
        ):
            options[key] = int(number) if option.is_integer else value
    return options or None


def parse_other_options(params: Mapping[str, Any]) -> dict[str, float] | None:
    """Return the options of another product that exist here and are within their bounds; None if there are none."""
    return parse_options({_NAMES[key]: value for key, value in params.items() if key in _NAMES})
