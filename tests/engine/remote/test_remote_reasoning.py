"""Reasoning of remote models: in fields, in tags, hidden, interrupted, and begun by the template of the server."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from chatsite.engine.types import Delta, Event, FinishReason, Reasoning, Restarted
from tests.engine.remote.support import MODEL, answer_text, engine_at, finish, question, reasoning_text
from tests.support.model_server import (
    RESET,
    HttpRequest,
    ModelServer,
    delta,
    event,
    head,
    openai_stream,
    usage,
    with_models,
)
from tests.support.trained_models import collect_events

THOUGHT = "Okay, the user greets me."


def reply_with(*pieces: str, counted: dict[str, Any] | None = None) -> Iterable[object]:
    return [head(), *openai_stream(pieces, counted)]


def ask_in_turn(
    *replies: Iterable[object], capabilities: dict[str, Any] | None = None, **options: Any
) -> tuple[list[list[Event]], dict[str, Any], list[HttpRequest]]:
    """Ask once for each reply; returns the events of each answer, what was learned, and the questions as they came."""
    left = [list(reply) for reply in replies]
    server = ModelServer(with_models(lambda _: left.pop(0), MODEL))
    with server, engine_at(server.url, "unknown", capabilities=capabilities) as (engine, client):
        answers: list[list[Event]] = []
        while left:
            engine.submit(question(len(answers) + 1, "Hi", **options))
            answers.append(collect_events(engine, len(answers) + 1)[len(answers) + 1])
        return answers, client.capabilities, server.asked("/chat/completions")


def tokens(events: list[Event]) -> tuple[int, int]:
    """The tokens of reasoning and of the answer, since the last restart."""
    last_restart = max((i for i, event in enumerate(events) if isinstance(event, Restarted)), default=0)
    kept = events[last_restart:]
    return tuple(sum(each.token_count for each in kept if isinstance(each, kind)) for kind in (Reasoning, Delta))  # type: ignore[return-value]


def test_reasoning_that_only_ends_is_recognized_and_remembered() -> None:
    reply = reply_with("Okay, ", "the user ", "greets me.", "\n</thin", "k>", "\n", "\nHello", "!")
    (first, second), learned, _ = ask_in_turn(reply, reply)
    for events in (first, second):
        assert (reasoning_text(events), answer_text(events)) == (THOUGHT, "Hello!")
        assert finish(events).reason is FinishReason.END
    assert any(isinstance(each, Restarted) for each in first)
    # From the second time on nothing of it is shown as an answer first.
    assert not any(isinstance(each, Restarted) for each in second)
    assert (learned["opens_inside"], learned["thinks"]) == ({MODEL: True}, {MODEL: True})


def test_model_that_does_not_think_this_time_has_answered() -> None:
    [events], _, _ = ask_in_turn(reply_with("Hello", " you."), capabilities={"opens_inside": {MODEL: True}})
    assert (reasoning_text(events), answer_text(events)) == ("", "Hello you.")
    assert tokens(events) == (0, 2)


@pytest.mark.parametrize(
    "text",
    [
        "The tag `</think>` closes it.",
        "It ends with </think> in a line.",
        "```\n<think>\nHm.\n</think>\n```\n",
        "Say </think>",
    ],
)
def test_answer_about_the_tag_stays_an_answer(text: str) -> None:
    [events], learned, _ = ask_in_turn(reply_with(*text))
    assert (reasoning_text(events), answer_text(events)) == ("", text)
    assert learned["opens_inside"] == {}


def test_hidden_reasoning_is_counted_apart_and_has_its_room() -> None:
    counted = usage(9, 900, completion_tokens_details={"reasoning_tokens": 898})
    reply = reply_with("Hi", "!", counted=counted)
    (first, _), learned, asked = ask_in_turn(reply, reply, max_new_tokens=512, max_reasoning_tokens=2048)
    assert tokens(first) == (898, 2)
    assert learned["thinks"] == {MODEL: True}
    assert [request.body["max_tokens"] for request in asked] == [2560, 2560]


def test_empty_answer_does_not_teach_that_a_model_does_not_think() -> None:
    cut = [head(), event(delta("", role="assistant")), event(delta(finish="length")), b"data: [DONE]\n\n"]
    [events], learned, _ = ask_in_turn(cut)
    assert finish(events).reason is FinishReason.LENGTH
    assert learned["thinks"] == {}


def test_connection_that_breaks_in_the_reasoning_is_asked_again() -> None:
    broken: list[object] = [head(), event(delta(reasoning_content="In vain")), RESET]
    good: list[object] = [head(), event(delta(reasoning_content="Well.")), *openai_stream(["Hello."])]
    left: list[list[object]] = [broken, good]
    server = ModelServer(with_models(lambda _: left.pop(0), MODEL))
    with server, engine_at(server.url, "unknown") as (engine, _):
        engine.submit(question(1, "Hi"))
        events = collect_events(engine, 1)[1]
    assert (reasoning_text(events), answer_text(events)) == ("Well.", "Hello.")
    assert finish(events).reason is FinishReason.END


def test_answer_that_is_written_anew_has_its_own_reasoning() -> None:
    good = [head(), event(delta(reasoning_content="Well.")), *openai_stream(["Hello", "."])]
    server = ModelServer(with_models(lambda _: list(good), MODEL))
    with server, engine_at(server.url, "unknown", capabilities={"continue": {MODEL: False}}) as (engine, _):
        engine.submit(question(1, "Hi", prefix="Good morn"))
        events = collect_events(engine, 1)[1]
    assert isinstance(next(each for each in events if not hasattr(each, "report")), Restarted)
    assert (reasoning_text(events), answer_text(events)) == ("Well.", "Hello.")


def test_reasoning_between_texts_and_split_characters_are_kept() -> None:
    pieces = [delta(reasoning_content="a\ud83e"), delta(reasoning_content="\udd8a"), delta("One"), delta(reasoning="b")]
    # A pair of surrogates comes as two escapes.
    lines = [f"data: {json.dumps(piece)}\n\n".encode() for piece in pieces]
    [events], _, _ = ask_in_turn([head(), *lines, *openai_stream([" two."])])
    assert (reasoning_text(events), answer_text(events)) == ("a🦊b", "One two.")
