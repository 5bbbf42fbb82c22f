"""What an answer does about a reply that failed: what it keeps, what it asks again, and what it remembers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from chatsite.engine.remote.bodies import find_refused_field
from chatsite.engine.remote.capabilities import Capabilities
from chatsite.engine.remote.families import find_family
from chatsite.engine.remote.written_text import PrefixJoiner
from chatsite.engine.types import FinishReason, GenerationOptions, Request, Turn
from chatsite.errors import endpoints
from tests.engine.remote.support import MODEL, answer_text, ask, engine_at, error, finish, first, question
from tests.support.model_server import (
    SILENCE,
    HttpRequest,
    ModelServer,
    delta,
    event,
    head,
    json_reply,
    openai_stream,
    with_models,
    words_of,
)
from tests.support.server_families import OllamaServer, ServerFamily
from tests.support.trained_models import collect_events

WHOLE = "The quick brown fox jumps over the lazy dog."
PREFIX = "The quick brown fox jumps over"
KNOWN = {"continue": {MODEL: True}, "thinks": {MODEL: False}}


def whole(_: HttpRequest) -> Iterator[object]:
    """The whole sentence, whatever was written of it."""
    yield head()
    yield from openai_stream(words_of(WHOLE))


def test_repetition_that_breaks_off_is_not_written() -> None:
    broken: list[object] = [head(), *(event(delta(word)) for word in words_of(WHOLE)[:3])]
    reply = first(broken, then=whole)
    with ModelServer(reply) as server, engine_at(server.url, "unknown", capabilities=KNOWN) as (engine, _):
        engine.submit(question(1, "Go", prefix=PREFIX))
        events = collect_events(engine, 1)[1]
    assert PREFIX + answer_text(events) == WHOLE


@pytest.mark.parametrize(("is_whole", "expected"), [(True, "The quick br"), (False, "")])
def test_half_a_repetition_is_dropped_only_if_the_reply_broke(is_whole: bool, expected: str) -> None:
    joiner = PrefixJoiner(PREFIX)
    assert joiner.push_text("The quick br") == ""
    assert joiner.flush_text(is_whole=is_whole) == expected


def test_answer_that_is_begun_anew_gets_its_whole_limit_back() -> None:
    text = " ".join(f"word{number}" for number in range(40))
    known = {"continue": {MODEL: False}}
    with ModelServer(ServerFamily().reply) as server, engine_at(server.url, capabilities=known) as (engine, _):
        options = GenerationOptions(max_new_tokens=2)
        engine.submit(Request(1, (Turn("user", text),), options, prefix="word0 word1", written_tokens=60))
        events = collect_events(engine, 1)[1]
    assert (answer_text(events), finish(events).reason) == (text, FinishReason.END)


def test_silence_until_the_time_is_over_is_no_answer() -> None:
    with (
        ModelServer(with_models(lambda _: [SILENCE], MODEL)) as server,
        engine_at(server.url, "unknown") as (engine, _),
    ):
        engine.submit(question(1, "Go", seconds=0.2))
        assert isinstance(finish(collect_events(engine, 1)[1]).error_message, endpoints.EndpointSilentError)


def test_server_that_cuts_each_reply_is_asked_a_few_times_only() -> None:
    one_word = [head(), event(delta("more "))]
    events, server = ask(with_models(lambda _: one_word, MODEL), capabilities=KNOWN)
    assert finish(events).error_message == endpoints.EndpointCutOffError(endpoint="box")
    assert 2 < len(server.asked("/chat/completions")) <= 11


def test_limits_that_count_down_are_learned_once() -> None:
    refusals = [error(400, f"maximum context length is {tokens} tokens") for tokens in range(4000, 3000, -1)]
    events, server = ask(first(*refusals))
    assert isinstance(finish(events).error_message, endpoints.EndpointRejectedError)
    assert len(server.asked("/chat/completions")) == 2


def test_prompt_that_was_longer_than_estimated_is_asked_for_with_less_room() -> None:
    refusal = error(400, "This model's maximum context length is 4096 tokens. However, you requested 4103 tokens.")
    with ModelServer(first(refusal)) as server, engine_at(server.url, "unknown") as (engine, _):
        engine.submit(question(1, "Go", max_new_tokens=4000))
        events = collect_events(engine, 1)[1]
        before, after = (each.body["max_tokens"] for each in server.asked("/chat/completions"))
    assert (answer_text(events), finish(events).error_message) == ("Done.", None)
    assert after < 0.6 * before < 0.6 * 4096


def test_words_of_the_conversation_are_no_limits() -> None:
    asked = "What does n_ctx: 100 mean?"
    reply = first(error(400, f"Bad input: {asked}"))
    with ModelServer(reply) as server, engine_at(server.url, "unknown") as (engine, client):
        engine.submit(question(1, asked))
        collect_events(engine, 1)
        assert client.capabilities["contexts"] == {}


@pytest.mark.parametrize(
    ("detail", "expected"),
    [
        ("Unsupported parameter: 'seed' is not supported with this model.", "seed"),
        ("Unexpected fields in the request: {'stream_options'}", "stream_options"),
        ("stream_options is not permitted", "stream_options"),
        ("Extra inputs: seed", "seed"),
        ("invalid input: please stop", None),
        ("the temperature of the room", None),
        ("Use 'max_completion_tokens' instead of 'max_tokens'", "max_tokens"),
    ],
)
def test_field_is_refused_by_its_name_and_not_by_a_word(detail: str, expected: str | None) -> None:
    names = ("model", "seed", "stop", "temperature", "stream_options", "max_tokens")
    body: dict[str, Any] = dict.fromkeys(names, 1)
    assert find_refused_field(find_family("openai"), body, detail) == expected
    assert find_refused_field(find_family("llama-cpp"), {}, detail) is None


@pytest.mark.parametrize("bad", [[SILENCE], [head(), b"<garbage>\n"]])
def test_try_out_that_says_nothing_is_not_remembered(bad: list[object]) -> None:
    reply = with_models(lambda _: bad, MODEL)
    with ModelServer(reply) as server, engine_at(server.url, "unknown", first_byte_seconds=0.2) as (engine, client):
        engine.submit(question(1, "Go", prefix="One"))
        collect_events(engine, 1)
        assert client.capabilities["continue"] == {}


def test_model_that_is_not_there_says_nothing_about_counting() -> None:
    missing = json_reply({"error": {"message": "The model `old` does not exist."}}, 404)
    reply = with_models(lambda _: missing, MODEL)
    with ModelServer(reply) as server, engine_at(server.url, "vllm") as (engine, client):
        engine.submit(question(1, "Go"))
        collect_events(engine, 1)
        assert client.capabilities["counts"] is True


def test_another_server_at_the_address_begins_with_nothing_learned() -> None:
    family = OllamaServer()
    with ModelServer(family.reply) as server, engine_at(server.url) as (_, client):
        client.probe()
        client.learned.contexts[MODEL] = 100
        client.learned.refused_fields.add("seed")
        assert client.probe().capabilities["contexts"] == {MODEL: 100}
        assert Capabilities.from_json(client.capabilities).refused_fields == {"seed"}
        family.parameters = "num_ctx 8000"
        assert client.probe().capabilities["contexts"] == {}
        assert client.capabilities["refused_fields"] == []
