"""What clients are sent for the events of an engine."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chatsite.engine.scripted import build_report
from chatsite.engine.serving.api_error import ApiError
from chatsite.engine.serving.completion import Completion, encode_error
from chatsite.engine.types import (
    Delta,
    Event,
    Finish,
    FinishReason,
    ProvisionalText,
    Reasoning,
    Request,
    Started,
    Turn,
)
from chatsite.errors import ChatsiteError, EmptyMessageError, EngineDiedError, PromptTooLongError

STARTED = Started(1, build_report(Request(1, (Turn("user", "one two three"),))))
END = Finish(1, FinishReason.END)


def completion() -> Completion:
    return Completion("tiny", "chatcmpl-1", 1700000000)


def decode(stream: bytes) -> list[Any]:
    """What stands in the events of a stream; the last one as text."""
    events = [event.removeprefix(b"data: ") for event in stream.split(b"\n\n")[:-1]]
    return [event.decode() if event == b"[DONE]" else json.loads(event) for event in events]


def test_a_stream_from_its_first_event_to_its_last() -> None:
    written = completion()
    stream = written.encode_first()
    for event in (STARTED, Reasoning(1, "Hm.", 1), Delta(1, "¡Sí", 2), Delta(1, "", 1), Delta(1, "!", 1), END):
        stream += written.encode_deltas(written.take_events([event]))
    chunks = decode(stream + written.encode_end(includes_usage=True))
    assert chunks.pop() == "[DONE]"
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, "model": "tiny"}
    assert all(head.items() <= chunk.items() for chunk in chunks)
    usage = chunks.pop()
    assert usage["choices"] == []
    assert usage["usage"] == {
        "prompt_tokens": 3,
        "completion_tokens": 5,
        "total_tokens": 8,
        "completion_tokens_details": {"reasoning_tokens": 1},
    }
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "Hm."},
        {"content": "¡Sí"},
        {"content": "!"},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, None, None, "stop"]


def test_no_usage_unless_it_is_asked_for() -> None:
    written = completion()
    written.take_events([STARTED, END])
    assert [chunk for chunk in decode(written.encode_end(includes_usage=False))[:-1] if "usage" in chunk] == []


def test_a_whole_completion() -> None:
    written = completion()
    written.take_events([STARTED, Reasoning(1, "Hm.", 1), Delta(1, "One ", 1), Delta(1, "two", 1), END])
    whole = written.make_completion()
    assert whole["object"] == "chat.completion"
    assert whole["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "One two", "refusal": None, "reasoning_content": "Hm."},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    assert whole["usage"]["total_tokens"] == 6


def test_provisional_text_is_sent_when_it_is_decided() -> None:
    written = completion()
    assert written.take_events([STARTED, ProvisionalText(1, "One", 1), ProvisionalText(1, "Two three", 2)]) == []
    assert written.take_events([END]) == [{"content": "Two three"}]
    assert written.usage["completion_tokens"] == 3


@pytest.mark.parametrize(
    ("reason", "sent"), [(FinishReason.END, "stop"), (FinishReason.LENGTH, "length"), (FinishReason.DEADLINE, "length")]
)
def test_every_end_has_a_reason_of_the_interface(reason: FinishReason, sent: str) -> None:
    written = completion()
    written.take_events([STARTED, Finish(1, reason)])
    assert written.make_completion()["choices"][0]["finish_reason"] == sent


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (PromptTooLongError(), 400, "context_length_exceeded"),
        (EmptyMessageError(), 400, "empty_message"),
        (EngineDiedError(), 500, "engine_died"),
        (None, 500, "engine_failed"),
    ],
)
def test_a_failure_is_told_with_its_reason(error: ChatsiteError | None, status: int, code: str) -> None:
    events: list[Event] = [Delta(1, "One", 1), Finish(1, FinishReason.ERROR, error)]
    with pytest.raises(ApiError) as failed:
        completion().take_events(events)
    assert failed.value.status == status
    (event,) = decode(encode_error(failed.value))
    assert event["error"]["code"] == code
    assert event["error"]["message"]
