"""What a client is sent for the events of one answer: chunks of a stream, or one completion."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from chatsite.engine.serving.api_error import ApiError, from_engine_error
from chatsite.engine.types import Delta, Event, Finish, FinishReason, ProvisionalText, Reasoning, Started

# Whoever reads a chunk looks for one of OpenAI's reasons; an answer that was canceled has no reader.
FINISH_REASONS = {
    FinishReason.END: "stop",
    FinishReason.LENGTH: "length",
    FinishReason.DEADLINE: "length",
    FinishReason.CANCELED: "stop",
}
DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": keep-alive\n\n"


def encode_event(data: Mapping[str, Any]) -> bytes:
    """Return a server-sent event with JSON in it."""
    return b"data: " + json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


@dataclass
class Completion:
    """One answer of `model`, as far as it is written: takes events and gives what is sent for them.

    Provisional text is kept back until it is decided, because a client cannot take back what it was sent.
    """

    model: str
    completion_id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))
    texts: list[str] = field(default_factory=list)
    reasoning_texts: list[str] = field(default_factory=list)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    finish_reason: str | None = None
    _provisional_text: str = ""

    def take_events(self, events: Iterable[Event]) -> list[dict[str, Any]]:
        """Take up events, oldest first, and return the deltas that a client is sent for them.

        Raises ApiError if the engine could not write the answer.
        """
        return [delta for event in events for delta in self._take_event(event)]

    def _take_event(self, event: Event) -> list[dict[str, Any]]:
        match event:
            case Started(report=report):
                self.prompt_tokens = report.used_tokens
            case Reasoning(text=text, token_count=token_count):
                self.completion_tokens += token_count
                self.reasoning_tokens += token_count
                return self._add_text("reasoning_content", self.reasoning_texts, text)
            case Delta(text=text, token_count=token_count):
                self.completion_tokens += token_count
                return self._add_text("content", self.texts, text)
            case ProvisionalText(text=text, token_count=token_count):
                self.completion_tokens += token_count
                self._provisional_text = text
            case Finish(reason=FinishReason.ERROR, error_message=error):
                raise from_engine_error(error)
            case Finish(reason=reason):
                self.finish_reason = FINISH_REASONS[reason]
                return self._add_text("content", self.texts, self._provisional_text)
        return []

    @staticmethod
    def _add_text(name: str, texts: list[str], text: str) -> list[dict[str, Any]]:
        if not text:
            return []
        texts.append(text)
        return [{name: text}]

    @property
    def usage(self) -> dict[str, Any]:
        """The numbers of tokens; the prompt is counted without the beginning of the answer that was sent along."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "completion_tokens_details": {"reasoning_tokens": self.reasoning_tokens},
        }

    def make_chunk(self, delta: Mapping[str, Any]) -> dict[str, Any]:
        """Return a chunk of the stream; that with the finish reason has an empty delta."""
        finish_reason = None if delta else self.finish_reason
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return {**self._head("chat.completion.chunk"), "choices": [choice]}

    def make_usage_chunk(self) -> dict[str, Any]:
        """Return the chunk without a choice that says how many tokens it was."""
        return {**self._head("chat.completion.chunk"), "choices": [], "usage": self.usage}

    def make_completion(self) -> dict[str, Any]:
        """Return the whole answer, for a client that wants no stream."""
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self.texts), "refusal": None}
        if self.reasoning_texts:
            message["reasoning_content"] = "".join(self.reasoning_texts)
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self.finish_reason}
        return {**self._head("chat.completion"), "choices": [choice], "usage": self.usage}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.completion_id, "object": kind, "created": self.created, "model": self.model}

    def encode_first(self) -> bytes:
        """Return the event with which a stream begins: the role."""
        return encode_event(self.make_chunk({"role": "assistant", "content": ""}))

    def encode_deltas(self, deltas: Iterable[Mapping[str, Any]]) -> bytes:
        """Return the events of some deltas."""
        return b"".join(encode_event(self.make_chunk(delta)) for delta in deltas)

    def encode_end(self, *, includes_usage: bool) -> bytes:
        """Return the events with which a whole stream ends."""
        usage = encode_event(self.make_usage_chunk()) if includes_usage else b""
        return encode_event(self.make_chunk({})) + usage + DONE


def encode_error(error: ApiError) -> bytes:
    """Return the event with which a stream ends that cannot go on. A failed answer never ends quietly."""
    return encode_event(error.body)
