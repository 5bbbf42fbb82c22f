"""Each family of servers: recognized, asked as it wants to be asked, and read as it writes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from chatsite.engine.catalog.endpoints import Endpoint
from chatsite.engine.remote.client import EndpointClient
from chatsite.engine.remote.engine import RemoteEngine
from chatsite.engine.types import FinishReason, GenerationOptions, ProvisionalText, Request, Turn
from chatsite.errors import endpoints
from tests.engine.remote.support import answer_text, engine_at, finish, question, reasoning_text, reports, token_count
from tests.support.model_server import HttpRequest, ModelServer, head, json_reply, openai_stream
from tests.support.server_families import (
    FAMILIES,
    LlamaCppServer,
    LMStudioServer,
    OldLlamaCppServer,
    OllamaServer,
    OpenAIServer,
    OpenRouterServer,
    ServerFamily,
    StrictServer,
    TransformersServer,
    VllmServer,
    WholeServer,
    prompt_tokens,
)
from tests.support.trained_models import collect_events

QUESTION = "One two three four five six seven."


@contextmanager
def served(kind: ServerFamily, **settings: Any) -> Iterator[tuple[ModelServer, RemoteEngine, EndpointClient]]:
    """A server of a family, and an engine for its model."""
    with ModelServer(kind.reply) as server, engine_at(server.url, models=("m",), **settings) as (engine, client):
        yield server, engine, client


@pytest.mark.parametrize("kind", FAMILIES)
def test_family_is_recognized_and_answers_whole(kind: type[ServerFamily]) -> None:
    with served(kind()) as (_, engine, client):
        assert client.probe().family == kind.name
        engine.submit(question(1, QUESTION, max_new_tokens=50, temperature=0.5, seed=7))
        events = collect_events(engine, 1)[1]
        assert (answer_text(events), finish(events).reason) == (QUESTION, FinishReason.END)
        # Each word is a token, and so is the end.
        assert token_count(events) >= len(QUESTION.split()) + 1
        last = reports(events)[-1]
        assert (last.counted_by, last.used_tokens) == ("server", prompt_tokens([{"content": QUESTION}]))
        assert (last.model, last.revision, last.kept_turn_count) == ("box/m", "m", 1)


@pytest.mark.parametrize("kind", [LlamaCppServer, VllmServer, OllamaServer])
def test_server_that_continues_is_given_the_beginning(kind: type[ServerFamily]) -> None:
    # The try to find that out asks for numbers, which this server only says back.
    known = {"continue": {"m": True}}
    with served(kind(), capabilities=known) as (server, engine, _):
        engine.submit(question(1, QUESTION, prefix="One two three "))
        events = collect_events(engine, 1)[1]
        assert "One two three " + answer_text(events) == QUESTION
        sent = (server.asked("/api/chat") or server.asked("/chat/completions"))[-1].body["messages"][-1]
        assert sent == {"role": "assistant", "content": "One two three"}


@pytest.mark.parametrize("kind", [OpenAIServer, TransformersServer, ServerFamily])
def test_server_that_does_not_continue_answers_anew(kind: type[ServerFamily]) -> None:
    with served(kind(), capabilities={"continue": {"m": False}}) as (_, engine, _):
        engine.submit(question(1, QUESTION, prefix="One two thr"))
        events = collect_events(engine, 1)[1]
        assert answer_text(events) == QUESTION
        assert any(isinstance(event, ProvisionalText) for event in events)
        assert reports(events)[0].notes == ("restarted",)


def test_text_that_a_visitor_chose_to_continue_is_not_replaced() -> None:
    with served(OpenAIServer(), family="openai") as (server, engine, _):
        engine.submit(Request(1, (Turn("user", QUESTION),), prefix="One two", kept_chars=7))
        events = collect_events(engine, 1)[1]
        assert finish(events).error_message == endpoints.EndpointCannotContinueError(endpoint="box")
        assert not server.asked("/chat/completions")


def test_continuation_is_tried_once_for_each_model_and_remembered() -> None:
    with served(ServerFamily()) as (server, engine, client):
        for number in (1, 2):
            engine.submit(question(number, QUESTION, prefix="One"))
            collect_events(engine, number)
        tries = [each for each in server.asked("/completions") if each.body["messages"][-1]["role"] == "assistant"]
        assert [each.body["messages"][-1]["content"] for each in tries] == ["One, two, three,"]
        assert client.capabilities["continue"] == {"m": False}


def test_llama_cpp_says_its_places_and_pieces() -> None:
    with served(LlamaCppServer()) as (server, engine, client):
        report = client.probe()
        assert (report.max_answers, report.models[0].context_tokens, engine.capacity) == (2, 512, 2)
        engine.submit(question(1, QUESTION, max_new_tokens=64))
        [only] = reports(collect_events(engine, 1)[1])
        assert "".join(only.turns[0].token_texts) == QUESTION
        assert (only.counted_by, only.overhead_tokens) == ("server", 4)
        assert server.asked("/chat/completions")[0].body["cache_prompt"] is True


def test_old_llama_cpp_estimates_and_tells_its_error() -> None:
    with served(OldLlamaCppServer()) as (_, engine, client):
        engine.submit(question(1, QUESTION))
        events = collect_events(engine, 1)[1]
        assert reports(events)[0].counted_by == "estimated"
        assert answer_text(events) == "One two"
        assert finish(events).error_message == endpoints.EndpointBrokeError(endpoint="box", detail="slot failed")
        assert client.capabilities["counts"] is False


def test_ollama_is_told_how_much_to_read_and_how_much_to_write() -> None:
    with served(OllamaServer()) as (server, engine, client):
        [model] = client.probe().models
        assert (model.context_tokens, model.parameter_count, model.size_bytes) == (4096, 3_200_000_000, 2_019_393_189)
        engine.submit(question(1, QUESTION, temperature=0.5, top_k=3, repetition_penalty=1.2, stop=("!",)))
        collect_events(engine, 1)
        options = server.asked("/api/chat")[0].body["options"]
        assert {"temperature": 0.5, "top_k": 3, "repeat_penalty": 1.2, "stop": ["!"], "num_ctx": 4096}.items() <= (
            options.items()
        )


@pytest.mark.parametrize(
    ("parameters", "trained", "expected"),
    [("num_ctx                        16384\nstop x", 131_072, 16_384), ("num_ctx 9000", 8192, 8192), ("", 2048, 2048)],
)
def test_ollama_reads_as_much_as_its_model_is_told_to(parameters: str, trained: int, expected: int) -> None:
    family = OllamaServer()
    family.parameters, family.trained_tokens = parameters, trained
    with served(family) as (_, _, client):
        assert client.probe().models[0].context_tokens == expected


def test_setting_of_the_administrator_wins() -> None:
    with served(OllamaServer(), context_tokens=1000) as (server, engine, _):
        engine.submit(question(1, QUESTION))
        collect_events(engine, 1)
        assert server.asked("/api/chat")[0].body["options"]["num_ctx"] == 1000


def test_server_that_cuts_in_silence_is_found_out() -> None:
    family = OllamaServer()
    family.is_blind_to_num_ctx = True
    with served(family) as (_, engine, _):
        engine.submit(question(1, "word " * 200))
        last = reports(collect_events(engine, 1)[1])[-1]
        assert (last.notes, last.used_tokens) == (("cut_by_server",), 20)


def test_reasoning_is_apart_from_the_answer() -> None:
    for family, thought in ((LMStudioServer(), "Let me see."), (OpenRouterServer(), "Hm.")):
        with served(family) as (_, engine, client):
            engine.submit(question(1, QUESTION))
            events = collect_events(engine, 1)[1]
            assert (reasoning_text(events), answer_text(events)) == (thought, QUESTION)
            assert client.capabilities["thinks"] == {"m": True}


def test_models_that_embed_are_no_models_to_talk_to() -> None:
    for family in (LMStudioServer(), OllamaServer()):
        with ModelServer(family.reply) as server, engine_at(server.url) as (_, client):
            assert [(model.id, model.context_tokens) for model in client.probe().models] == [("m", 4096)]


def test_error_of_openrouter_in_the_middle_keeps_the_text() -> None:
    family = OpenRouterServer()
    family.fails_within = True
    with served(family) as (_, engine, _):
        engine.submit(question(1, QUESTION))
        events = collect_events(engine, 1)[1]
        assert answer_text(events) == QUESTION
        assert finish(events).error_message == endpoints.EndpointBrokeError(endpoint="box", detail="Provider gone")


def test_refused_fields_are_learned_and_not_sent_again() -> None:
    with served(OpenAIServer(), family="openai") as (server, engine, client):
        for number in (1, 2):
            engine.submit(question(number, QUESTION, temperature=0.5, max_new_tokens=100))
            events = collect_events(engine, number)[number]
            assert answer_text(events) == QUESTION
        bodies = [each.body for each in server.asked("/chat/completions")]
        assert client.capabilities["refused_fields"] == ["max_tokens", "temperature"]
        assert [len({"max_tokens", "temperature"} & set(body)) for body in bodies] == [2, 1, 0, 0]
        assert bodies[-1]["max_completion_tokens"] == 100
        # What is not sent is not reported as used either.
        assert "temperature" not in reports(events)[0].options


def test_what_was_learned_earlier_is_used_at_once() -> None:
    known = {"refused_fields": ["max_tokens", "temperature"], "continue": "garbage", "contexts": {"m": "x"}}
    with served(OpenAIServer(), capabilities=known) as (server, engine, _):
        engine.submit(question(1, QUESTION, temperature=0.5))
        collect_events(engine, 1)
        assert len(server.asked("/chat/completions")) == 1


def test_strict_server_gets_what_it_takes() -> None:
    with served(StrictServer()) as (_, engine, client):
        engine.submit(question(1, QUESTION, seed=3))
        assert answer_text(collect_events(engine, 1)[1]) == QUESTION
        assert client.capabilities["refused_fields"] == ["seed", "stream_options"]


def test_nobody_is_named_and_only_numbers_set_by_hand_are_sent() -> None:
    with served(ServerFamily()) as (server, engine, _):
        turns = (Turn("user", "Hello"), Turn("assistant", "Hi."), Turn("user", QUESTION))
        engine.submit(Request(1, turns, persona=("You are terse.", "", "Answer in Spanish.")))
        collect_events(engine, 1)
        [asked] = server.asked("/chat/completions")
        assert set(asked.body) == {"model", "messages", "stream", "stream_options", "max_tokens"}
        assert asked.body["messages"] == [
            {"role": "system", "content": "You are terse.\n\nAnswer in Spanish."},
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Hi."},
            {"role": "user", "content": QUESTION},
        ]
        assert asked.headers["user-agent"] == "chatsite"


def refuse_once(reply: Any, message: str) -> Any:
    """A server that refuses the first answer with a sentence."""
    refusals = [json_reply({"error": {"message": message}}, 400)]

    def answer(request: HttpRequest) -> Any:
        return refusals.pop() if request.path.endswith("/completions") and refusals else reply(request)

    return answer


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 100 tokens. However, you requested 260 tokens.",
        "the request exceeds the available context size (100 tokens), try increasing it",
        "request (260 tokens) exceeds the available context size (100 tokens)",
        '{"n_prompt_tokens": 260, "n_ctx": 100}',
    ],
)
def test_context_is_learned_from_a_refusal(message: str) -> None:
    turns = (*(Turn("user", QUESTION), Turn("assistant", QUESTION)) * 9, Turn("user", QUESTION))
    with ModelServer(refuse_once(ServerFamily().reply, message)) as server, engine_at(server.url) as (engine, client):
        engine.submit(Request(1, turns, GenerationOptions(max_new_tokens=20)))
        events = collect_events(engine, 1)[1]
        assert answer_text(events) == QUESTION
        first, second, _ = reports(events)
        assert first.kept_turn_count == len(turns)
        assert second.kept_turn_count < first.kept_turn_count
        assert second.budget_tokens == 80
        assert client.capabilities["contexts"] == {"m": 100}


def test_stream_with_the_wrong_type_is_read_as_what_it_is() -> None:
    class MisnamedServer(ServerFamily):
        """A gateway that passes the lines on as plain text."""

        def answer(self, body: Any) -> Iterator[object]:
            yield head(content_type="text/plain")
            yield b"\r\n"
            yield from openai_stream(self.words(body), self.counted(body))

    with served(MisnamedServer()) as (_, engine, _):
        engine.submit(question(1, QUESTION))
        assert answer_text(collect_events(engine, 1)[1]) == QUESTION


def test_whole_reply_that_is_cut_is_asked_for_again() -> None:
    class CutServer(WholeServer):
        """The gateway that does not stream, whose first reply breaks."""

        times = 0

        def answer(self, body: Any) -> Iterator[object]:
            self.times += 1
            pieces = list(super().answer(body))
            yield from pieces if self.times > 1 else [*pieces[:-1], pieces[-1][:30]]  # type: ignore[index]

    with served(CutServer()) as (_, engine, _):
        engine.submit(question(1, QUESTION))
        assert answer_text(collect_events(engine, 1)[1]) == QUESTION


def test_counting_that_fails_for_one_prompt_is_estimated() -> None:
    class BusyCounter(LlamaCppServer):
        """A llama.cpp that cannot count just now."""

        def post(self, path: str, body: Any) -> Any:
            return json_reply({"error": {"message": "slot busy"}}, 500)

    with served(BusyCounter()) as (_, engine, client):
        engine.submit(question(1, QUESTION))
        first, last = reports(collect_events(engine, 1)[1])
        assert (first.counted_by, last.counted_by) == ("estimated", "server")
        assert client.capabilities["counts"] is True


def test_models_that_are_passed_on_elsewhere_have_to_be_named() -> None:
    """They would leave a computer whose pages say that messages stay on it."""
    family = OllamaServer()
    with ModelServer(family.reply) as server:
        for named, found in (((), [family.model]), (("gpt-oss:120b-cloud",), ["gpt-oss:120b-cloud"])):
            with closing(EndpointClient(Endpoint("ollama", server.url, models=named), "")) as client:
                assert [model.id for model in client.probe().models] == found
