"""A real vLLM behind the remote engine: counting, writing, stopping, going on, and long conversations."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chatsite.engine.catalog.catalog import resolve_entry
from chatsite.engine.catalog.endpoints import Endpoint, make_entry
from chatsite.engine.downloads.weights import ensure_installed
from chatsite.engine.remote.client import EndpointClient
from chatsite.engine.remote.engine import RemoteEngine
from chatsite.engine.types import Delta, Event, FinishReason
from tests.support.served_site import wait_until
from tests.support.trained_models import collect_events, finish_of, make_request, report_of, text_of, tokens_of
from tests.support.vllm_server import CONTEXT_TOKENS, MODEL, VllmServer, running_vllm

pytestmark = [pytest.mark.exhaustive, pytest.mark.timeout(1500)]

MODELS = Path(os.environ.get("CHATSITE_TEST_MODELS") or Path(__file__).parents[3] / "instance" / "models")
QUESTION = "What is the capital of France? Answer in one sentence."
GREEDY: dict[str, Any] = {"temperature": 0.0, "max_new_tokens": 24, "max_reasoning_tokens": 0}


@pytest.fixture(scope="module")
def server() -> Iterator[VllmServer]:
    weights = ensure_installed(resolve_entry("smollm2-135m-instruct"), MODELS, lambda progress: None)
    with running_vllm(weights.folder.absolute()) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: VllmServer) -> Iterator[EndpointClient]:
    client = EndpointClient(Endpoint("gpu", server.url), "")
    yield client
    client.close()


@pytest.fixture(scope="module")
def engine(client: EndpointClient) -> RemoteEngine:
    return RemoteEngine(make_entry(client.endpoint, client.probe().models[0]), client)


def test_it_is_recognized(client: EndpointClient) -> None:
    report = client.probe()
    assert report.family == "vllm"
    assert [(model.id, model.context_tokens) for model in report.models] == [(MODEL, CONTEXT_TOKENS)]


def test_it_counts_what_it_reads(engine: RemoteEngine) -> None:
    engine.submit(make_request("My name is Zoë.", "Hello Zoë!", QUESTION, persona=("Be brief.",), **GREEDY))
    events = collect_events(engine, 1)[1]
    report = report_of(events)
    assert report.counted_by == "server"
    assert [turn.is_kept for turn in report.turns] == [True] * 3
    assert "".join(report.turns[0].token_texts) == "My name is Zoë."
    assert sum(turn.token_count for turn in report.turns) < report.used_tokens < CONTEXT_TOKENS
    assert finish_of(events).reason in {FinishReason.END, FinishReason.LENGTH}
    assert text_of(events)
    assert 0 < tokens_of(events) <= GREEDY["max_new_tokens"]


def test_it_goes_on_after_the_beginning_of_an_answer(engine: RemoteEngine) -> None:
    question = "Count from one to ten in words, in one line."
    engine.submit(make_request(question, prefix="One, two, three,", **GREEDY))
    events = collect_events(engine, 1)[1]
    assert finish_of(events).reason in {FinishReason.END, FinishReason.LENGTH}
    assert text_of(events).lstrip().lower().startswith("four")


def test_a_stop_ends_the_work_there(engine: RemoteEngine, server: VllmServer) -> None:
    engine.submit(make_request("Write a very long story.", max_new_tokens=1500, temperature=0.0))
    events: list[Event] = []
    while not any(isinstance(event, Delta) for event in events):
        events += engine.poll_events(1.0)
    assert server.count_running() == 1
    engine.cancel(1)
    assert finish_of(collect_events(engine, 1)[1]).reason is FinishReason.CANCELED
    wait_until(lambda: server.count_running() == 0, what="The end of the work")


def test_a_long_conversation_loses_its_oldest_turns(engine: RemoteEngine) -> None:
    long_turns = [f"Number {number}: " + "one two three four five six " * 40 for number in range(16)]
    engine.submit(make_request(*long_turns, QUESTION, **GREEDY))
    events = collect_events(engine, 1, seconds=200)[1]
    report = report_of(events)
    kept = [turn.is_kept for turn in report.turns]
    assert kept == sorted(kept)
    assert 0 < sum(kept) < len(kept)
    assert report.used_tokens <= CONTEXT_TOKENS - GREEDY["max_new_tokens"]
    assert finish_of(events).reason in {FinishReason.END, FinishReason.LENGTH}
