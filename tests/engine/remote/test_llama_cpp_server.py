"""The real server of llama.cpp behind the remote engine."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator

import pytest

from chatsite.engine.catalog.endpoints import Endpoint, make_entry
from chatsite.engine.remote.client import EndpointClient
from chatsite.engine.remote.engine import RemoteEngine
from chatsite.engine.types import Delta, Event, Finish, FinishReason, GenerationOptions, Request, Turn
from tests.engine.remote.support import answer_text, finish, question, reports, token_count
from tests.support.llama_server import CONTEXT_TOKENS, MODEL, PLACES, LlamaServer, running_llama_server
from tests.support.served_site import wait_until
from tests.support.trained_models import collect_events

COUNT = "Count from one to ten in words."


@pytest.fixture(scope="module")
def server() -> Iterator[LlamaServer]:
    """The server, for all tests here."""
    with running_llama_server() as started:
        yield started


@pytest.fixture(scope="module")
def client(server: LlamaServer) -> Iterator[EndpointClient]:
    """The client of the server."""
    made = EndpointClient(Endpoint("llama", server.url), "")
    yield made
    made.close()


@pytest.fixture(scope="module")
def engine(client: EndpointClient) -> RemoteEngine:
    """The engine of its model."""
    return RemoteEngine(make_entry(client.endpoint, client.probe().find_model(MODEL)), client)


def count_tokens(server: LlamaServer, messages: list[dict[str, str]]) -> int:
    """The tokens of a prompt, as the server itself reads them."""
    body = json.dumps({"model": MODEL, "messages": messages, "max_tokens": 1}).encode()
    request = urllib.request.Request(f"{server.url}/chat/completions", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as reply:
        return int(json.load(reply)["usage"]["prompt_tokens"])


def test_it_says_what_it_is(client: EndpointClient) -> None:
    report = client.probe()
    assert (report.family, report.max_answers) == ("llama-cpp", PLACES)
    [model] = report.models
    assert (model.id, model.context_tokens) == (MODEL, CONTEXT_TOKENS)
    assert 130e6 < model.parameter_count < 140e6


def test_answers_at_once_are_whole_and_repeatable(engine: RemoteEngine) -> None:
    for number in range(6):
        engine.submit(question(number, COUNT, temperature=0.0, max_new_tokens=24))
    found = collect_events(engine, *range(6))
    assert len({answer_text(events)[:40] for events in found.values()}) == 1
    assert all(token_count(events) == 24 for events in found.values())
    assert all(finish(events).reason is FinishReason.LENGTH for events in found.values())


def test_report_is_what_the_server_read(engine: RemoteEngine, server: LlamaServer) -> None:
    turns = (Turn("user", "Hola, ¿qué tal?"), Turn("assistant", "Muy bien 🦊."), Turn("user", "print('x')  # Why?"))
    engine.submit(Request(1, turns, GenerationOptions(max_new_tokens=4), persona=("Answer briefly.",)))
    [report] = reports(collect_events(engine, 1)[1])
    messages = [{"role": turn.role, "content": turn.text} for turn in turns]
    assert report.used_tokens == count_tokens(server, [{"role": "system", "content": "Answer briefly."}, *messages])
    assert ["".join(turn.token_texts) for turn in report.turns] == [turn.text for turn in turns]
    assert (report.counted_by, report.kept_turn_count) == ("server", 3)


def test_history_is_cut_by_whole_turns_and_fits(engine: RemoteEngine) -> None:
    exchange = (Turn("user", "Tell me about foxes, please. " * 3), Turn("assistant", "Foxes are small. " * 8))
    turns = (*exchange * 30, Turn("user", "And wolves?"))
    engine.submit(Request(1, turns, GenerationOptions(max_new_tokens=8)))
    events = collect_events(engine, 1)[1]
    [report] = reports(events)
    assert finish(events).error_message is None
    assert 0 < report.kept_turn_count < len(turns)
    assert report.turns[-report.kept_turn_count].role == "user"
    assert report.used_tokens <= report.budget_tokens
    # One more exchange would not have fitted.
    exchange_tokens = sum(turn.token_count + report.overhead_tokens for turn in report.turns[-3:-1])
    assert report.used_tokens + exchange_tokens > report.budget_tokens - 2


def test_question_that_is_too_long_keeps_its_end(engine: RemoteEngine) -> None:
    text = "".join(f"number {number}, " for number in range(600))
    engine.submit(question(1, text, max_new_tokens=8))
    events = collect_events(engine, 1)[1]
    [report] = reports(events)
    assert finish(events).error_message is None
    assert report.turns[0].is_truncated
    assert 0.95 * report.budget_tokens < report.used_tokens <= report.budget_tokens
    assert text.endswith("".join(report.turns[0].token_texts))


def test_estimates_are_right_within_a_twentieth_after_the_first_answer(server: LlamaServer) -> None:
    # As a server that cannot count: what its usage tells must be enough.
    client = EndpointClient(Endpoint("box", server.url, family="unknown"), "", {"thinks": {MODEL: False}})
    engine = RemoteEngine(make_entry(client.endpoint, client.probe().find_model(MODEL)), client)
    questions = [
        "What is a fox?",
        "¿Y los lobos, qué comen en invierno?",
        "def f(x): return x ** 2  # What is it?",
        COUNT,
    ]
    turns: list[Turn] = []
    try:
        for number, text in enumerate(questions):
            turns.append(Turn("user", text))
            engine.submit(Request(number, tuple(turns), GenerationOptions(max_new_tokens=30, temperature=0.0)))
            events = collect_events(engine, number)[number]
            estimated, counted = reports(events)
            newest = estimated.turns[-1].token_count
            before = estimated.used_tokens - newest
            known = counted.used_tokens - counted.turns[-1].token_count
            if number:
                assert abs(before - known) <= 0.05 * counted.used_tokens
                assert abs(estimated.used_tokens - counted.used_tokens) <= max(0.05 * counted.used_tokens, newest)
            messages = [{"role": turn.role, "content": turn.text} for turn in turns]
            assert counted.used_tokens == count_tokens(server, messages)
            assert counted.used_tokens == pytest.approx(sum(turn.token_count for turn in counted.turns), abs=len(turns))
            turns.append(Turn("assistant", answer_text(events)))
    finally:
        client.close()


def test_answer_goes_on_after_its_beginning(engine: RemoteEngine, client: EndpointClient) -> None:
    engine.submit(question(1, COUNT, prefix="One, two, three, ", temperature=0.0, max_new_tokens=12))
    events = collect_events(engine, 1)[1]
    assert answer_text(events).lower().startswith("four")
    assert client.capabilities["continue"] == {MODEL: True}


def test_stop_frees_the_place(engine: RemoteEngine) -> None:
    # More than there are places: the last ones answer only if the stopped ones are really gone.
    for number in range(2 * PLACES):
        engine.submit(question(number, "Tell me a very long story.", max_new_tokens=2000, seconds=1000))
    wait_until(lambda: any(isinstance(event, Delta) for event in engine.poll_events(0.1)), what="The first words")
    for number in range(2 * PLACES):
        engine.cancel(number)
    engine.poll_events(0.1)
    engine.submit(question(99, COUNT, max_new_tokens=4))
    events: list[Event] = []
    while not (events and isinstance(events[-1], Finish)):
        events += [event for event in engine.poll_events(0.1) if event.request_id == 99]
    assert finish(events).error_message is None


def test_killed_server_goes_on_when_it_is_there_again(engine: RemoteEngine, server: LlamaServer) -> None:
    engine.submit(question(200, COUNT, max_new_tokens=80, temperature=0.0))
    events: list[Event] = []
    while len(events) < 10:
        events += engine.poll_events(1.0)
    server.kill()
    server.restart()
    while not isinstance(events[-1], Finish):
        events += engine.poll_events(0.1)
    assert finish(events).error_message is None
    assert len(reports(events)) == 1
    # What was asked for again was only the rest.
    assert token_count(events) <= 80
    engine.submit(question(201, COUNT, max_new_tokens=80, temperature=0.0))
    assert answer_text(events)[:30] == answer_text(collect_events(engine, 201)[201])[:30]
