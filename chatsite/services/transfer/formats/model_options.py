"""Generation options of a conversation in other products."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chatsite.services.transfer.formats import native

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


def parse_options(params: Mapping[str, Any]) -> dict[str, float] | None:
    """Return the options among `params` that exist here and are within their bounds; None if there are none."""
    return native.parse_options({_NAMES[key]: value for key, value in params.items() if key in _NAMES})
