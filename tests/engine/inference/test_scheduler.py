"""Many requests in one batch: each gets what it would get alone, whoever comes, goes, or breaks beside it."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from chatsite.engine.downloads.weights import Weights
from chatsite.engine.inference import scheduler
from chatsite.engine.inference.executors.blenderbot import BlenderbotExecutor
from chatsite.engine.inference.executors.llama import LlamaExecutor
from chatsite.engine.inference.executors.transformers_ import TransformersExecutor
from chatsite.engine.inference.loaded_model import LoadedModel, load_model
from chatsite.engine.inference.loading.checkpoint import load_checkpoint
from chatsite.engine.inference.quantization.precision import resolve_precision
from chatsite.engine.inference.scheduler import Scheduler
from chatsite.engine.types import Delta, Event, Finish, FinishReason, Started
from tests.support.trained_models import LESSONS, finish_of, make_request, text_of, tokens_of

QUESTIONS = list(LESSONS)
PLENTY = 1 << 40


@pytest.fixture(scope="module")
def loaded_model(folder: Path) -> LoadedModel:
    """A tiny model of either family with its lean step."""
    return load_model("tiny", Weights(folder, "1"), "fp32")


@pytest.fixture(scope="module")
def transformers_model(folder: Path) -> LoadedModel:
    """The same model through transformers' modules, one sequence at a time."""
    made = load_model("tiny", Weights(folder, "1"), "fp32")
    model_executor = TransformersExecutor(load_checkpoint(folder, torch.float32).model, made.context_tokens)
    model_executor.max_groups = 1
    return LoadedModel(made.checkpoint, made.prompt_format, model_executor, made.context_tokens, made.eos_ids)


def finish(batch: Scheduler, found: list[Event] | None = None) -> dict[int, list[Event]]:
    """All events by request, once everything is over."""
    events = list(found or ())
    while batch.has_work:
        events += batch.run_step(())
    return by_request(events)


def by_request(events: list[Event]) -> dict[int, list[Event]]:
    """The events of each request."""
    numbers = {event.request_id for event in events}
    return {number: [event for event in events if event.request_id == number] for number in numbers}


def options(number: int) -> dict[str, Any]:
    """Greedy for every third request, drawn for the others; some are long."""
    temperature = 0.0 if number % 3 == 0 else 0.7 + number % 2
    return {"temperature": temperature, "top_p": 0.95, "seed": number, "max_new_tokens": 20 + number % 5 * 8}


def request(number: int) -> Any:
    """One of many different requests."""
    turns = [QUESTIONS[0], "Hello world"] * (number % 3) + [QUESTIONS[number % len(QUESTIONS)]]
    return make_request(*turns, number=number, **options(number))


def test_specialized_executor_is_selected(loaded_model: LoadedModel, transformers_model: LoadedModel) -> None:
    assert isinstance(loaded_model.executor, BlenderbotExecutor | LlamaExecutor)
    assert loaded_model.executor.max_groups > 1 == transformers_model.executor.max_groups


@pytest.mark.parametrize("seed", range(4))
def test_batched_requests_match_unbatched_results(
    loaded_model: LoadedModel, transformers_model: LoadedModel, seed: int
) -> None:
    chance = random.Random(seed)
    batch = loaded_model.create_scheduler(PLENTY)
    events: list[Any] = []
    coming = [request(number) for number in range(12)]
    leaving = set(chance.sample(range(12), 3))
    while coming or batch.has_work:
        if coming and chance.random() < 0.3:
            events += batch.add_request(coming.pop(0))
        gone = {number for number in leaving if tokens_of(by_request(events).get(number, [])) >= 5}
        events += batch.run_step(gone)
    found = by_request(events)
    for number in range(12):
        alone = transformers_model.create_scheduler(PLENTY)
        expected = finish(alone, list(alone.add_request(request(number))))[number]
        if finish_of(found[number]).reason is FinishReason.CANCELED:
            assert number in leaving
            assert text_of(expected).startswith(text_of(found[number]))
        else:
            assert found[number] == [Started(number, found[number][0].report), *expected[1:]]  # type: ignore[union-attr]
    assert loaded_model.executor.running_groups == []


def test_events_arrive_as_started_deltas_finish(loaded_model: LoadedModel) -> None:
    batch = loaded_model.create_scheduler(PLENTY)
    events: list[Any] = []
    for number in range(5):
        events += batch.add_request(request(number))
    for mine in finish(batch, events).values():
        kinds = [type(event) for event in mine]
        assert kinds == [Started, *[Delta] * (len(mine) - 2), Finish]


def test_batch_limit_holds_and_others_wait_in_order(loaded_model: LoadedModel) -> None:
    limit = loaded_model.executor.max_groups
    batch = loaded_model.create_scheduler(PLENTY)
    events: list[Any] = []
    for number in range(limit + 3):
        events += batch.add_request(make_request(QUESTIONS[1], number=number, temperature=0.0, max_new_tokens=20))
    most = 0
    while batch.has_work:
        events += batch.run_step(())
        most = max(most, len(loaded_model.executor.running_groups))
    assert most == limit
    started = [event.request_id for event in events if isinstance(event, Started)]
    assert started == list(range(limit + 3))
    assert {text_of(mine) for mine in by_request(events).values()} == {text_of(by_request(events)[0])}


def test_memory_budget_limits_admission(loaded_model: LoadedModel) -> None:
    one = loaded_model.executor.cache_bytes(
        loaded_model.prepare_request(make_request(QUESTIONS[1], max_new_tokens=20)).sequence_group
    )
    batch, most = loaded_model.create_scheduler(2 * one), 0
    events = [
        event
        for number in range(4)
        for event in batch.add_request(make_request(QUESTIONS[1], number=number, max_new_tokens=20))
    ]
    events += batch.add_request(make_request(QUESTIONS[1], number=9, max_new_tokens=10_000))
    while batch.has_work:
        events += batch.run_step(())
        running = list(loaded_model.executor.running_groups)
        most = max(most, len(running))
        assert len(running) == 1 or sum(loaded_model.executor.cache_bytes(row) for row in running) <= 2 * one
    assert most == 2
    assert all(finish_of(mine).reason is not FinishReason.ERROR for mine in by_request(events).values())
    assert len(by_request(events)) == 5


def test_long_prefill_is_interleaved_with_decoding(chat_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "SHARED_PREFILL_TOKENS", 8)
    loaded = load_model("tiny", Weights(chat_folder, "1"), "fp32")
    batch = loaded.create_scheduler(PLENTY)
    events = [*batch.add_request(make_request(QUESTIONS[0], number=1, temperature=0.0, max_new_tokens=30))]
    while tokens_of(events) < 2:
        events += batch.run_step(())
    events += batch.add_request(make_request("word " * 40, number=2, max_new_tokens=4))
    rest: list[Event] = []
    while batch.has_work:
        rest += batch.run_step(())
    start = next(i for i, event in enumerate(rest) if isinstance(event, Started))
    first = next(i for i, event in enumerate(rest) if isinstance(event, Delta) and event.request_id == 2)
    assert sum(isinstance(event, Delta) and event.request_id == 1 for event in rest[start:first]) >= 5


def test_nan_row_fails_only_its_request(loaded_model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = loaded_model.create_scheduler(PLENTY)
    events = [
        event
        for number in (0, 1, 2)
        for event in batch.add_request(make_request(QUESTIONS[number], number=number, temperature=0.0))
    ]
    model_executor, broken = (
        loaded_model.executor,
        loaded_model.prompt_format.build_prompt(make_request(QUESTIONS[1]), {}).ids,
    )
    step = model_executor.decode_step

    def spoil(rows: Any) -> torch.Tensor:
        logits = step(rows)
        if any(row.prompt_ids == broken for row in rows):
            # Numbers that go missing in one row may spoil all rows of that step.
            return torch.full_like(logits, float("nan"))
        return logits

    monkeypatch.setattr(model_executor, "decode_step", spoil)
    found = finish(batch, events)
    assert finish_of(found[1]).reason is FinishReason.ERROR
    assert "no number" in str(finish_of(found[1]).error_message)
    assert text_of(found[2]) == LESSONS[QUESTIONS[2]]
    assert finish_of(found[0]).reason is FinishReason.END


def test_deadline_counts_from_admission(loaded_model: LoadedModel) -> None:
    batch = loaded_model.create_scheduler(1)
    events = [*batch.add_request(make_request(QUESTIONS[1], number=1, temperature=0.0, max_new_tokens=5))]
    events += batch.add_request(make_request(QUESTIONS[1], number=2, temperature=0.0, max_new_tokens=5, seconds=2.0))
    time.sleep(2.1)
    assert finish_of(finish(batch, events)[2]).reason is FinishReason.LENGTH
    events = [*batch.add_request(make_request(QUESTIONS[1], number=3, seconds=0.0))]
    assert finish_of(finish(batch, events)[3]).reason is FinishReason.DEADLINE


@pytest.mark.parametrize("requested", ["int8", "bf16"])
def test_batched_requests_work_in_other_precisions(folder: Path, requested: str) -> None:
    loaded = load_model("tiny", Weights(folder, "1"), requested)
    batch = loaded.create_scheduler(PLENTY)
    events: list[Any] = []
    for number, question in enumerate(QUESTIONS[1:]):
        events += batch.add_request(make_request(question, number=number, temperature=0.0))
    found = finish(batch, events)
    assert [text_of(found[number]) for number in range(3)] == list(LESSONS.values())[1:]
    started = found[0][0]
    assert isinstance(started, Started)
    assert started.report.options["precision"] == resolve_precision(requested).name


@pytest.fixture(autouse=True)
def no_sequence_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """No test leaves a sequence behind in a shared model."""
    yield
    if "loaded_model" in request.fixturenames:
        assert request.getfixturevalue("loaded_model").executor.running_groups == []
