"""What servers send, line by line: pure parsers that survive the peculiarities of all families.

The form is OpenAI's stream of chat completion chunks (https://platform.openai.com/docs/api-reference/chat-streaming) as
the servers really write it, and the lines of Ollama's own API (https://docs.ollama.com/api/chat).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# No server writes longer lines; one without an end would fill the memory.
MAX_LINE_BYTES = 8 << 20
# Names of fields of server-sent events that carry nothing for us.
IGNORED_FIELDS = ("event:", "id:", "retry:")
# Larger numbers of tokens are no numbers of tokens.
MAX_COUNT = 10**9
# Errors lie within errors, but not deep.
MAX_ERROR_DEPTH = 5


class GarbageError(ValueError):
    """A line is nothing that a server of models writes."""


@dataclass(frozen=True)
class Usage:
    """The tokens that a server counted; None is what it did not tell. `reasoning_tokens` are part of the completion."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int = 0


@dataclass(frozen=True)
class StreamPart:
    """One piece of an answer as it arrives.

    `finish_reason` is the server's own word, None as long as it goes on. `is_last` says that nothing comes after.
    `error` is the server's sentence for what went wrong, which may be long and repeat what was sent.
    """

    text: str = ""
    reasoning: str = ""
    finish_reason: str | None = None
    usage: Usage | None = None
    error: str | None = None
    is_last: bool = False


class LineSplitter:
    """Cuts bytes into lines, wherever the network cut them; ends are LF, CR LF or CR."""

    def __init__(self) -> None:
        self._rest = b""

    def push_bytes(self, data: bytes) -> Iterator[str]:
        """Yield the lines that `data` completes. Raises GarbageError for a line that does not end."""
        *lines, self._rest = (self._rest + data).replace(b"\r", b"\n").split(b"\n")
        if len(self._rest) > MAX_LINE_BYTES:
            raise GarbageError("a line without an end")
        for line in lines:
            yield _decode(line)

    def flush_bytes(self) -> Iterator[str]:
        """Yield the last line if it has no end, as the last one of a stream may."""
        rest, self._rest = self._rest, b""
        if rest:
            yield _decode(rest)


def parse_event_line(line: str) -> StreamPart | None:
    """Parse a line of a stream of server-sent events; None for one that says nothing.

    Raises GarbageError for a line that no server writes: what was meant to be text must not get lost in silence.
    """
    line = line.strip()
    if not line or line.startswith((":", *IGNORED_FIELDS)):
        return None
    if line.startswith("error:"):
        return StreamPart(error=_error_text(_parse_json(line[len("error:") :].strip(), is_lenient=True)))
    if line.startswith("data:"):
        payload = line[len("data:") :].strip()
    elif line.startswith("{"):
        payload = line
    else:
        raise GarbageError("no line of a stream of events")
    if payload == "[DONE]":
        return StreamPart(is_last=True)
    return parse_completion(_parse_json(payload)) if payload else None


def parse_ollama_line(line: str) -> StreamPart | None:
    """Parse a line of Ollama's own chat API; None for an empty one. Raises GarbageError for what is none."""
    if not line.strip():
        return None
    record = _parse_json(line)
    if not isinstance(record, dict):
        raise GarbageError("no object")
    if record.get("error"):
        return StreamPart(error=_error_text(record))
    message = record.get("message")
    message = message if isinstance(message, dict) else {}
    is_done = record.get("done") is True
    usage = Usage(_count(record.get("prompt_eval_count")), _count(record.get("eval_count"))) if is_done else None
    return StreamPart(
        text=_text_of(message.get("content")),
        reasoning=_text_of(message.get("thinking")),
        finish_reason=str(record.get("done_reason") or "stop") if is_done else None,
        usage=usage,
        is_last=is_done,
    )


def parse_completion(record: object) -> StreamPart:
    """Parse a chunk of a stream, or a whole completion of a server that does not stream.

    Raises GarbageError for what is neither.
    """
    if not isinstance(record, dict):
        raise GarbageError("no object")
    choices = record.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else {}
    if not isinstance(choice, dict) or not (choices is None or isinstance(choices, list)):
        raise GarbageError("choices that are none")
    if record.get("error") or choice.get("finish_reason") == "error" or record.get("object") == "error":
        return StreamPart(error=_error_text(record if record.get("error") or "message" in record else choice))
    delta = choice.get("delta") if isinstance(choice.get("delta"), dict) else choice.get("message")
    delta = delta if isinstance(delta, dict) else {}
    finish_reason = choice.get("finish_reason")
    return StreamPart(
        text=_text_of(delta.get("content")) + _text_of(delta.get("refusal")),
        reasoning=_text_of(delta.get("reasoning_content")) or _text_of(delta.get("reasoning")),
        finish_reason=None if finish_reason is None else str(finish_reason),
        usage=_parse_usage(record.get("usage")),
    )


def error_message(body: str) -> str:
    """Return the sentence of an error reply, in whichever form the server has put it; empty if it has none.

    It may be long and repeat what was sent, the key as well.
    """
    try:
        return _error_text(json.loads(body))
    except (ValueError, RecursionError):
        return ""


def _decode(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        raise GarbageError("no UTF-8") from None


def _parse_json(text: str, *, is_lenient: bool = False) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        if is_lenient:
            return text
        raise GarbageError("no JSON") from None


def _text_of(content: object) -> str:
    """Return the text of a field that may be a string, a list of parts, null or absent."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, dict)]
        return "".join(text for text in texts if isinstance(text, str))
    return ""


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT else None


def _parse_usage(usage: object) -> Usage | None:
    if not isinstance(usage, Mapping):
        return None
    details = usage.get("completion_tokens_details")
    reasoning_tokens = _count(details.get("reasoning_tokens")) if isinstance(details, Mapping) else 0
    return Usage(_count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens")), reasoning_tokens or 0)


def _error_text(record: object, depth: int = 0) -> str:
    """Return what an error says: OpenAI's object, a bare text, FastAPI's detail, or vLLM's older flat form."""
    if depth > MAX_ERROR_DEPTH:
        return ""
    if isinstance(record, Mapping):
        found = next((record[key] for key in ("error", "message", "msg", "detail") if record.get(key)), "")
        return _error_text(found, depth + 1)
    if isinstance(record, list):
        return _error_text(record[0], depth + 1) if record else ""
    return "".join(character for character in " ".join(str(record).split()) if character.isprintable())
