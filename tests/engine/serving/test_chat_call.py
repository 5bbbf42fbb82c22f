"""What requests to the chat completions of the engine mean, and which are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chatsite.engine.serving.api_error import ApiError
from chatsite.engine.serving.chat_call import MAX_MESSAGES, CallLimits, ChatCall, read_chat_call
from chatsite.engine.types import GenerationOptions, Turn

LIMITS = CallLimits(max_new_tokens=100, seconds=30.0)
HELLO = [{"role": "user", "content": "Hello"}]


def read(**fields: Any) -> ChatCall:
    return read_chat_call(json.dumps({"model": "tiny", "messages": HELLO, **fields}).encode(), "tiny", LIMITS)


def test_a_call_with_nothing_but_a_question() -> None:
    assert read() == ChatCall((Turn("user", "Hello"),), GenerationOptions(max_new_tokens=100, seconds=30.0))


def test_messages_become_instructions_turns_and_the_beginning_of_the_answer() -> None:
    call = read(
        messages=[
            {"role": "system", "content": "Be short."},
            {"role": "developer", "content": [{"type": "text", "text": "Be "}, {"type": "text", "text": "kind."}]},
            {"role": "user", "content": [{"type": "input_text", "text": "One"}]},
            {"role": "assistant", "content": None, "tool_calls": []},
            {"role": "tool", "content": "42"},
            {"role": "assistant", "content": "It is 4"},
        ],
        continue_final_message=True,
        add_generation_prompt=False,
    )
    assert call.persona == ("Be short.", "Be kind.")
    assert call.turns == (Turn("user", "One"), Turn("assistant", ""), Turn("user", "42"))
    assert call.prefix == "It is 4"
    request = call.to_request(7)
    assert (request.id, request.turns, request.prefix, request.persona) == (7, call.turns, "It is 4", call.persona)


def test_options_are_those_that_were_sent() -> None:
    options = read(
        max_tokens=7, temperature=0.7, top_p=0.9, top_k=40, repetition_penalty=1.1, seed=3, min_tokens=2, stop="END"
    ).options
    assert options == GenerationOptions(
        max_new_tokens=7,
        seconds=30.0,
        temperature=0.7,
        top_p=0.9,
        top_k=40,
        repetition_penalty=1.1,
        seed=3,
        min_new_tokens=2,
        stop=("END",),
    )


@pytest.mark.parametrize(
    ("sent", "name", "value"),
    [
        ({"max_tokens": 5, "max_completion_tokens": 6}, "max_new_tokens", 6),
        ({"max_tokens": 10**30 // 10**15}, "max_new_tokens", 100),
        ({"temperature": 1e-300}, "temperature", 0.0),
        ({"top_p": 0}, "top_p", 0.01),
        ({"top_k": -1}, "top_k", None),
        ({"top_k": 0}, "top_k", None),
        ({"stop": ["a", "", "b"]}, "stop", ("a", "b")),
        ({"stop": None}, "stop", ()),
    ],
)
def test_what_clients_write_differently_means_the_same(sent: dict[str, Any], name: str, value: object) -> None:
    assert getattr(read(**sent).options, name) == value


def test_unknown_fields_and_those_without_an_effect_are_ignored() -> None:
    extra = {
        "user": "me",
        "store": True,
        "tools": [{}],
        "tool_choice": "auto",
        "n": 1,
        "logprobs": False,
        "x": {"y": 1},
    }
    extra |= {"response_format": {"type": "text"}, "stream_options": None, "frequency_penalty": 1}
    assert read(**extra) == read()


def test_a_stream_and_its_usage_are_asked_for() -> None:
    call = read(stream=True, stream_options={"include_usage": True})
    assert (call.is_stream, call.includes_usage) == (True, True)
    assert (read(stream=True).is_stream, read(stream=True).includes_usage) == (True, False)
    assert not read(stream="yes").is_stream


def test_a_model_thinks_unless_it_is_told_not_to() -> None:
    assert not read().to_request(1).is_background
    assert not read(chat_template_kwargs={"enable_thinking": True}).to_request(1).is_background
    assert read(chat_template_kwargs={"enable_thinking": False}).to_request(1).is_background


def test_half_of_a_surrogate_pair_becomes_a_question_mark() -> None:
    body = b'{"model":"tiny","messages":[{"role":"user","content":"a\\ud83d b"}]}'
    assert read_chat_call(body, "tiny", LIMITS).turns == (Turn("user", "a? b"),)


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"messages": []}, "messages", None),
        ({"messages": "Hello"}, "messages", None),
        ({"messages": HELLO * (MAX_MESSAGES + 1)}, "messages", None),
        ({"messages": [{"role": "system", "content": "Be short."}]}, "messages", None),
        ({"messages": [{"role": "assistant", "content": "Hello"}]}, "messages", None),
        ({"messages": [*HELLO, *[{"role": "assistant", "content": "Hm"}] * 2]}, "messages", None),
        ({"messages": ["Hello"]}, "messages.0.role", None),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role", None),
        ({"messages": [{"role": [], "content": "x"}]}, "messages.0.role", None),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content.0", None),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}]}]},
            "messages.0.content.1",
            None,
        ),
        ({"messages": [{"role": "user", "content": [{"type": []}]}]}, "messages.0.content.0", None),
        ({"n": 2}, "n", "unsupported_value"),
        ({"logprobs": True}, "logprobs", "unsupported_parameter"),
        ({"top_logprobs": 3}, "top_logprobs", "unsupported_parameter"),
        ({"response_format": {"type": "json_object"}}, "response_format", "unsupported_parameter"),
        ({"tool_choice": "required"}, "tool_choice", "unsupported_parameter"),
        ({"tool_choice": {"type": "function"}}, "tool_choice", "unsupported_parameter"),
        ({"max_tokens": 0}, "max_tokens", None),
        ({"max_tokens": 1.5}, "max_tokens", None),
        ({"max_completion_tokens": True}, "max_completion_tokens", None),
        ({"temperature": "hot"}, "temperature", None),
        ({"temperature": 2.1}, "temperature", None),
        ({"temperature": float("nan")}, "temperature", None),
        ({"top_p": -0.1}, "top_p", None),
        ({"repetition_penalty": 10**400}, "repetition_penalty", None),
        ({"seed": 2**63}, "seed", None),
        ({"stop": 5}, "stop", None),
        ({"stop": ["a", 5]}, "stop", None),
        ({"stop": ["a"] * 17}, "stop", None),
        ({"stop": "x" * 201}, "stop", None),
    ],
)
def test_what_cannot_be_answered_is_refused(fields: dict[str, Any], param: str, code: str | None) -> None:
    with pytest.raises(ApiError) as refused:
        read(**fields)
    assert refused.value.status == 400
    error = refused.value.body["error"]
    assert (error["param"], error["code"], error["type"]) == (param, code, "invalid_request_error")
    assert error["message"].endswith(".")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff", b"[" * 100_000])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(ApiError, match="JSON"):
        read_chat_call(body, "tiny", LIMITS)


@pytest.mark.parametrize(("model", "status"), [("other", 404), ("", 400), (None, 400), (5, 400)])
def test_another_model_is_not_here(model: object, status: int) -> None:
    with pytest.raises(ApiError) as refused:
        read(model=model)
    assert (refused.value.status, refused.value.param) == (status, "model")
