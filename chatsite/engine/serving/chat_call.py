"""What a request to `/v1/chat/completions` asks for.

Clients send more fields than a server knows, so unknown ones are ignored. Refused is what would change the form of the
reply: several choices, log-probabilities, JSON, calls of tools, and parts of a message that are not text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chatsite.engine.serving.api_error import ApiError
from chatsite.engine.types import GenerationOptions, Request, Turn

MAX_MESSAGES = 4000
MAX_STOP_STRINGS, MAX_STOP_CHARS = 16, 200
MIN_TEMPERATURE, MIN_TOP_P = 0.01, 0.01
MAX_SEED = 2**63 - 1
# Roles of the interface, and what the engine makes of them. What a tool found out is told by the user's side.
SYSTEM_ROLES = frozenset({"system", "developer"})
TURN_ROLES = {"user": "user", "assistant": "assistant", "tool": "user", "function": "user"}
TEXT_PARTS = ("text", "input_text", "output_text")


@dataclass(frozen=True)
class CallLimits:
    """What one request may ask for at most: tokens of the answer, and seconds for it."""

    max_new_tokens: int = 4096
    seconds: float = 600.0


@dataclass(frozen=True)
class ChatCall:
    """A request that was understood.

    `prefix` is the last message if that is the assistant's: the answer goes on right after it and does not repeat it. A
    model that can think does so only if it `may_think`.
    """

    turns: tuple[Turn, ...]
    options: GenerationOptions
    persona: tuple[str, ...] = ()
    prefix: str = ""
    is_stream: bool = False
    includes_usage: bool = False
    may_think: bool = True

    def to_request(self, request_id: int) -> Request:
        """Return what the engine is asked."""
        return Request(
            request_id,
            self.turns,
            self.options,
            self.prefix,
            self.persona,
            is_background=not self.may_think,
        )


def read_chat_call(body: bytes, model: str, limits: CallLimits) -> ChatCall:
    """Read the body of a request for `model`, the one model that is served.

    Raises ApiError, with status 404 if another model is asked for and 400 for whatever else cannot be answered.
    """
    fields = _parse_object(body)
    _require_model(fields, model)
    _refuse_other_forms(fields)
    persona, turns = _read_messages(fields.get("messages"))
    prefix = ""
    if turns and turns[-1].role == "assistant":
        prefix = turns.pop().text
    if not turns or turns[-1].role != "user":
        raise ApiError("There is no message by the user to answer.", param="messages")
    stream_options, template_options = fields.get("stream_options"), fields.get("chat_template_kwargs")
    return ChatCall(
        turns=tuple(turns),
        options=_read_options(fields, limits),
        persona=tuple(persona),
        prefix=prefix,
        is_stream=fields.get("stream") is True,
        includes_usage=isinstance(stream_options, dict) and stream_options.get("include_usage") is True,
        may_think=not (isinstance(template_options, dict) and template_options.get("enable_thinking") is False),
    )


def _parse_object(body: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ApiError("The body is not JSON.") from error
    if not isinstance(fields, dict):
        raise ApiError("The body is not a JSON object.")
    return fields


def _require_model(fields: Mapping[str, Any], model: str) -> None:
    wanted = fields.get("model")
    if not isinstance(wanted, str) or not wanted:
        raise ApiError("The name of a model is missing.", param="model")
    if wanted != model:
        message = f"There is no model {wanted[:200]!r} here, only {model!r}."
        raise ApiError(message, status=404, code="model_not_found", param="model")


def _refuse_other_forms(fields: Mapping[str, Any]) -> None:
    """Raise ApiError for whatever would change the form of the reply."""
    if fields.get("n") not in (None, 1):
        raise ApiError("Only one choice is written for each request.", code="unsupported_value", param="n")
    for name in ("logprobs", "top_logprobs"):
        if fields.get(name):
            raise ApiError("Log-probabilities are not available.", code="unsupported_parameter", param=name)
    response_format = fields.get("response_format")
    if isinstance(response_format, dict) and response_format.get("type", "text") != "text":
        raise ApiError("Answers are text only.", code="unsupported_parameter", param="response_format")
    if fields.get("tool_choice") not in (None, "auto", "none"):
        raise ApiError("The model calls no tools.", code="unsupported_parameter", param="tool_choice")


def _read_messages(messages: object) -> tuple[list[str], list[Turn]]:
    """Return the instructions, and the turns from the oldest to the newest."""
    if not isinstance(messages, list) or not messages:
        raise ApiError("The list of messages is missing or empty.", param="messages")
    if len(messages) > MAX_MESSAGES:
        raise ApiError(f"There are more than {MAX_MESSAGES} messages.", param="messages")
    persona: list[str] = []
    turns: list[Turn] = []
    for index, message in enumerate(messages):
        role = message.get("role") if isinstance(message, dict) else None
        if not isinstance(role, str) or role not in TURN_ROLES.keys() | SYSTEM_ROLES:
            raise ApiError("The role of a message is unknown.", param=f"messages.{index}.role")
        text = "" if message.get("content") is None else _read_text(message["content"], index)
        if role in TURN_ROLES:
            turns.append(Turn(TURN_ROLES[role], text))
        elif text:
            persona.append(text)
    return persona, turns


def _read_text(content: object, index: int) -> str:
    """Return the text of a message, which may be one string or a list of parts."""
    parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
    texts = []
    for number, part in enumerate(parts):
        text = part.get("text") if isinstance(part, dict) and part.get("type") in TEXT_PARTS else None
        if not isinstance(text, str):
            raise ApiError("The model reads text only.", param=f"messages.{index}.content.{number}")
        # Half of a surrogate pair is a character in JSON, and in no tokenizer.
        texts.append(text.encode("utf-8", "replace").decode())
    return "".join(texts)


def _read_options(fields: Mapping[str, Any], limits: CallLimits) -> GenerationOptions:
    asked = _read_integer(fields, "max_completion_tokens", smallest=1, largest=MAX_SEED)
    asked = asked or _read_integer(fields, "max_tokens", smallest=1, largest=MAX_SEED)
    top_k = _read_integer(fields, "top_k", smallest=-1, largest=10**6)
    temperature = _read_number(fields, "temperature", smallest=0.0, largest=2.0)
    top_p = _read_number(fields, "top_p", smallest=0.0, largest=1.0)
    return GenerationOptions(
        max_new_tokens=min(asked or limits.max_new_tokens, limits.max_new_tokens),
        seconds=limits.seconds,
        # Smaller ones mean the likeliest token, and would divide by nearly nothing.
        temperature=0.0 if temperature is not None and temperature < MIN_TEMPERATURE else temperature,
        top_p=None if top_p is None else max(top_p, MIN_TOP_P),
        # vLLM writes -1 for all tokens, others write 0.
        top_k=top_k if top_k and top_k > 0 else None,
        repetition_penalty=_read_number(fields, "repetition_penalty", smallest=0.1, largest=10.0),
        seed=_read_integer(fields, "seed", smallest=-MAX_SEED, largest=MAX_SEED),
        min_new_tokens=_read_integer(fields, "min_tokens", smallest=0, largest=limits.max_new_tokens),
        stop=_read_stop_strings(fields.get("stop")),
    )


def _read_number(fields: Mapping[str, Any], name: str, *, smallest: float, largest: float) -> float | None:
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ApiError(f"{name} is not a number.", param=name)
    if not smallest <= value <= largest:
        raise ApiError(f"{name} is not between {smallest:g} and {largest:g}.", param=name)
    return float(value)


def _read_integer(fields: Mapping[str, Any], name: str, *, smallest: int, largest: int) -> int | None:
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise ApiError(f"{name} is not a whole number.", param=name)
    if not smallest <= value <= largest:
        raise ApiError(f"{name} is not between {smallest} and {largest}.", param=name)
    return value


def _read_stop_strings(stop: object) -> tuple[str, ...]:
    strings = [stop] if isinstance(stop, str) else stop or []
    if not isinstance(strings, list) or not all(isinstance(text, str) for text in strings):
        raise ApiError("stop is neither a string nor a list of strings.", param="stop")
    if len(strings) > MAX_STOP_STRINGS or any(len(text) > MAX_STOP_CHARS for text in strings):
        raise ApiError(f"stop is more than {MAX_STOP_STRINGS} strings of {MAX_STOP_CHARS} characters.", param="stop")
    return tuple(text for text in strings if text)
