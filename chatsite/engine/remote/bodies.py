"""What is sent to a server for an answer: in OpenAI's form, or in Ollama's own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chatsite.engine.catalog.endpoints import Endpoint
from chatsite.engine.remote.families import Family
from chatsite.engine.types import GenerationOptions, Preset, Request, Turn

Messages = Sequence[Mapping[str, str]]
COMPLETION_LIMIT = "max_completion_tokens"
# What may be left out if a server refuses it, and the answer is still one.
OPTIONAL_FIELDS = frozenset(
    {"cache_prompt", "chat_template_kwargs", "min_tokens", "reasoning", "stream_options", "think"}
    | {"repeat_penalty", "repetition_penalty", "seed", "stop", "temperature", "top_k", "top_p"}
)

# What a preset asks of a server whose own defaults are not known; in between they hold.
PRESET_OPTIONS: Mapping[Preset, Mapping[str, float]] = {
    Preset.PRECISE: {"temperature": 0.2},
    Preset.BALANCED: {},
    Preset.CREATIVE: {"temperature": 1.2},
}


@dataclass(frozen=True)
class Call:
    """One request for an answer: what the model reads, and how much it may write.

    `prefix` is the beginning of the answer, from which the server is to go on. `context_tokens` is how much it should
    read, where one can say so. `refused_fields` are those that the server is known not to take.
    """

    model: str
    messages: Messages
    options: GenerationOptions
    max_tokens: int
    context_tokens: int
    prefix: str = ""
    may_think: bool = True
    refused_fields: frozenset[str] = frozenset()


def root_url(endpoint: Endpoint) -> str:
    """Return the address of a server itself, above the paths of OpenAI's form."""
    return endpoint.url.removesuffix("/v1")


def chat_url(endpoint: Endpoint, family: Family) -> str:
    """Return the address at which a server answers."""
    return f"{root_url(endpoint)}/api/chat" if family.is_native_ollama else f"{endpoint.url}/chat/completions"


def list_messages(request: Request, turns: Sequence[Turn]) -> list[dict[str, str]]:
    """Return the messages of a request that keeps `turns`: the instructions first. No name of anybody is in them."""
    system_text = "\n".join(request.persona)
    system = [{"role": "system", "content": system_text}] if system_text.strip() else []
    return system + [{"role": turn.role, "content": turn.text} for turn in turns if turn.text.strip()]


def used_options(family: Family, call: Call) -> dict[str, Any]:
    """Return the sampling parameters that are really sent, by the names of GenerationOptions.

    A number that was set goes before that of the preset.
    """
    preset = PRESET_OPTIONS[call.options.preset or Preset.BALANCED]
    chosen = {name: getattr(call.options, name) for name in family.options}
    values = {name: preset.get(name) if value is None else value for name, value in chosen.items()}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
        if value is not None and value != () and family.options[name] not in call.refused_fields
    }


def build_body(family: Family, call: Call) -> dict[str, Any]:
    """Return the body of a request for a streamed answer."""
    messages = [dict(message) for message in call.messages]
    if call.prefix:
        messages.append({"role": "assistant", "content": call.prefix})
    body: dict[str, Any] = {"model": call.model, "messages": messages, "stream": True, **family.body}
    options = {family.options[name]: value for name, value in used_options(family, call).items()}
    if family.is_native_ollama:
        options |= {family.limit_field: call.max_tokens, "num_ctx": call.context_tokens}
        body["options"] = options
    else:
        limit_field = COMPLETION_LIMIT if family.limit_field in call.refused_fields else family.limit_field
        body |= {**options, limit_field: call.max_tokens}
        if family.asks_for_usage:
            body["stream_options"] = {"include_usage": True}
    if not call.may_think:
        body |= family.no_thinking_body
    if call.prefix:
        body |= family.continue_body
    return {name: value for name, value in body.items() if name not in call.refused_fields}


def find_refused_field(family: Family, body: Mapping[str, Any], detail: str) -> str | None:
    """Return the field of a body that a server refuses by its words in `detail`, if one can do without it."""
    candidates = [name for name in body if name in OPTIONAL_FIELDS or name == family.limit_field]
    return next((name for name in candidates if _is_named(name, detail)), None)


def _is_named(name: str, detail: str) -> bool:
    """Return whether a sentence names a field. Some fields are English words, which need quotes or "parameter"."""
    word = re.escape(name)
    if "_" in name:
        return bool(re.search(rf"\b{word}\b", detail))
    return bool(
        re.search(rf"['\"`]{word}['\"`]|\b(?:field|parameter|argument|input|option)s?\W{{1,3}}{word}\b", detail)
    )
