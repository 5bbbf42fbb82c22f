"""What servers send, line by line: each peculiarity has one meaning."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatsite.engine.remote.stream_parts import (
    GarbageError,
    LineSplitter,
    StreamPart,
    Usage,
    error_message,
    parse_completion,
    parse_event_line,
    parse_ollama_line,
)


def data(**record: object) -> str:
    """A line of a stream."""
    return "data: " + json.dumps(record)


def choice(**fields: object) -> dict[str, object]:
    return {"choices": [{"index": 0, **fields}]}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (data(**choice(delta={"content": "Hi"}, finish_reason=None)), StreamPart("Hi")),
        (data(**choice(delta={"content": "Hi"})).replace("data: ", "data:"), StreamPart("Hi")),
        (data(**choice(delta={"content": "Hi"}))[len("data: ") :], StreamPart("Hi")),
        (data(**choice(delta={"role": "assistant", "content": None})), StreamPart()),
        (data(**choice(delta={"content": "."}, finish_reason="stop")), StreamPart(".", finish_reason="stop")),
        (data(**choice(delta={}, finish_reason="")), StreamPart(finish_reason="")),
        (data(**choice(finish_reason="eos_token")), StreamPart(finish_reason="eos_token")),
        (data(**choice(delta={"content": [{"type": "text", "text": "a"}, {"text": "b"}]})), StreamPart("ab")),
        (data(**choice(delta={"refusal": "No."})), StreamPart("No.")),
        (data(**choice(delta={"reasoning_content": "Hm"})), StreamPart(reasoning="Hm")),
        (data(**choice(delta={"reasoning": "Hm", "reasoning_details": []})), StreamPart(reasoning="Hm")),
        (data(**choice(delta={"tool_calls": [{"index": 0}]})), StreamPart()),
        (data(choices=[], usage={"prompt_tokens": 3, "completion_tokens": 2}), StreamPart(usage=Usage(3, 2))),
        (data(choices=None, usage={"prompt_tokens": 3, "completion_tokens": 2}), StreamPart(usage=Usage(3, 2))),
        (data(usage={"prompt_tokens": 3, "completion_tokens": 2}), StreamPart(usage=Usage(3, 2))),
        (
            data(usage={"completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 4}}),
            StreamPart(usage=Usage(None, 9, 4)),
        ),
        (data(usage={"prompt_tokens": "many", "completion_tokens": -1}), StreamPart(usage=Usage())),
        (data(usage={"prompt_tokens": 10**20, "completion_tokens": 2**31}), StreamPart(usage=Usage())),
        ("data: [DONE]", StreamPart(is_last=True)),
        ("data:[DONE]", StreamPart(is_last=True)),
        ("data:", None),
        ("", None),
        (": keep-alive", None),
        (": OPENROUTER PROCESSING", None),
        ("event: message", None),
        ("id: 7", None),
        ("retry: 100", None),
        (data(error={"message": "Out of memory", "code": 500}), StreamPart(error="Out of memory")),
        (data(error="Out of memory"), StreamPart(error="Out of memory")),
        (data(object="error", message="Too long", code=400), StreamPart(error="Too long")),
        (
            data(error={"message": "Provider gone"}, **choice(delta={"content": ""}, finish_reason="error")),
            StreamPart(error="Provider gone"),
        ),
        (data(**choice(delta={}, finish_reason="error")), StreamPart(error="")),
        ('error: {"code":500,"message":"slot failed"}', StreamPart(error="slot failed")),
        ("error: slot failed", StreamPart(error="slot failed")),
    ],
)
def test_line_has_one_meaning(line: str, expected: StreamPart | None) -> None:
    assert parse_event_line(line) == expected
    assert parse_event_line(f"{line} ") == expected


@pytest.mark.parametrize(
    "line",
    [
        "<html>",
        "data: <html>",
        "data: {",
        'data: {"a":',
        "data: 3",
        "data: []",
        "dat",
        'data: {"choices": 3}',
        "\ufeff",
    ],
)
def test_line_that_no_server_writes_is_garbage(line: str) -> None:
    with pytest.raises(GarbageError):
        parse_event_line(line)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"message": {"role": "assistant", "content": "Hi"}, "done": False}, StreamPart("Hi")),
        ({"message": {"content": "", "thinking": "Hm"}, "done": False}, StreamPart(reasoning="Hm")),
        (
            {
                "message": {"content": ""},
                "done": True,
                "done_reason": "length",
                "prompt_eval_count": 5,
                "eval_count": 7,
            },
            StreamPart(finish_reason="length", usage=Usage(5, 7), is_last=True),
        ),
        ({"done": True}, StreamPart(finish_reason="stop", usage=Usage(), is_last=True)),
        ({"error": "model requires more system memory"}, StreamPart(error="model requires more system memory")),
    ],
)
def test_line_of_ollama_has_one_meaning(record: dict[str, object], expected: StreamPart) -> None:
    assert parse_ollama_line(json.dumps(record)) == expected


def test_line_of_ollama_that_is_none() -> None:
    assert parse_ollama_line(" ") is None
    for line in ("[]", "{", "data: {}"):
        with pytest.raises(GarbageError):
            parse_ollama_line(line)


def test_whole_completion_is_one_part() -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 2}
    whole = {
        "choices": [{"message": {"role": "assistant", "content": "Hi"}, "finish_reason": "length"}],
        "usage": usage,
    }
    assert parse_completion(whole) == StreamPart("Hi", finish_reason="length", usage=Usage(1, 2))
    assert parse_completion({"error": {"message": "No credit", "code": 402}}) == StreamPart(error="No credit")
    assert parse_completion({"choices": []}) == StreamPart()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"error": {"message": "No  such\\nmodel"}}', "No such model"),
        ('{"error": "No such model"}', "No such model"),
        ('{"detail": "Unexpected fields"}', "Unexpected fields"),
        ('{"detail": [{"loc": ["body"], "msg": "Extra inputs are not permitted"}]}', "Extra inputs are not permitted"),
        ('{"object": "error", "message": "Too long"}', "Too long"),
        ("<html>Bad gateway</html>", ""),
        ("", ""),
        ("{}", ""),
        ("[" * 60_000, ""),
        ('{"error": ' * 20 + "1" + "}" * 20, ""),
    ],
)
def test_error_reply_in_any_form_is_one_sentence(body: str, expected: str) -> None:
    assert error_message(body) == expected


@given(st.lists(st.text(st.characters(blacklist_characters="\r\n", codec="utf-8")), max_size=8), st.data())
def test_lines_do_not_depend_on_where_the_network_cuts(lines: list[str], drawn: st.DataObject) -> None:
    content = "".join(f"{line}\r\n" for line in lines).encode()
    splitter, position = LineSplitter(), 0
    found: list[str] = []
    while position < len(content):
        size = drawn.draw(st.integers(1, len(content)))
        found += splitter.push_bytes(content[position : position + size])
        position += size
    found += splitter.flush_bytes()
    assert [line for line in found if line] == [line for line in lines if line]


@given(st.binary(max_size=200))
def test_no_bytes_break_the_parser(content: bytes) -> None:
    splitter = LineSplitter()
    try:
        for line in (*splitter.push_bytes(content), *splitter.flush_bytes()):
            parse_event_line(line)
    except GarbageError:
        return


def test_line_without_an_end_is_refused() -> None:
    splitter = LineSplitter()
    assert list(splitter.push_bytes(b"x" * (8 << 20))) == []
    with pytest.raises(GarbageError):
        list(splitter.push_bytes(b"x"))
