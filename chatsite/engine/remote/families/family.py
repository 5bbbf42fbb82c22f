"""What differs between families of servers, as data."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

NOTHING: Mapping[str, Any] = MappingProxyType({})
# The sampling parameters that OpenAI's own servers take, by the names of GenerationOptions.
OPENAI_OPTIONS: Mapping[str, str] = MappingProxyType(
    {"temperature": "temperature", "top_p": "top_p", "seed": "seed", "stop": "stop"}
)


class Continuation(enum.StrEnum):
    """Whether a server goes on with an answer whose beginning it is given."""

    # Only a try can tell: it depends on the template of the model, or on how the server was started.
    MAYBE = "maybe"
    ALWAYS = "always"
    NEVER = "never"


class Counting(enum.StrEnum):
    """What a server tells about the tokens of a prompt before it reads it."""

    NONE = "none"
    LLAMA_CPP = "llama-cpp"
    VLLM = "vllm"


@dataclass(frozen=True)
class Family:
    """A kind of server.

    `options` are the sampling parameters that it takes, from our names to its own; others are not sent, because some
    servers refuse what they do not know. `body` is sent with each request, `no_thinking_body` with one whose model
    should not think, and `continue_body` with one whose last message is the beginning of the answer. `limit_field` is
    what it calls the largest number of tokens. `asks_for_usage` says that usage comes only when asked for. One that
    `is_native_ollama` is asked in Ollama's own way. One that `cuts_silently` reads the end of a prompt that is too long
    for it, and does not say so.
    """

    name: str
    options: Mapping[str, str] = field(default_factory=lambda: OPENAI_OPTIONS)
    limit_field: str = "max_tokens"
    body: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    no_thinking_body: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    continue_body: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    continuation: Continuation = Continuation.MAYBE
    counting: Counting = Counting.NONE
    asks_for_usage: bool = True
    is_native_ollama: bool = False
    cuts_silently: bool = False
