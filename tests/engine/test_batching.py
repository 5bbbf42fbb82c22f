"""Many requests in one batch: each gets what it would get alone, whoever comes, goes, or breaks beside it."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from chatsite.engine import Delta, Event, Finish, FinishReason, Started
from chatsite.engine.decoding import batching
from chatsite.engine.decoding.batching import Batch
from chatsite.engine.decoding.checkpoint import load
from chatsite.engine.decoding.generic import Generic
from chatsite.engine.decoding.precision import settle_precision
from chatsite.engine.decoding.speaker import Speaker, open_speaker
from chatsite.engine.weights import Weights
from tests.engine.support import LESSONS, ask, finish_of, text_of, tokens_of

QUESTIONS = list(LESSONS)
PLENTY = 1 << 40


@pytest.fixture(scope="module")
def speaker(folder: Path) -> Speaker:
    """A tiny model of either family with its lean step."""
    return open_speaker("tiny", Weights(folder, "1"), "fp32")


@pytest.fixture(scope="module")
def generic(folder: Path) -> Speaker:
    """The same model through transformers' modules, one sequence at a time."""
    made = open_speaker("tiny", Weights(folder, "1"), "fp32")
    stepper = Generic(load(folder, torch.float32).model, made.context)
    stepper.limit = 1
    return Speaker(made.checkpoint, made.format, stepper, made.context, made.ends)


def finish(batch: Batch, found: list[Event] | None = None) -> dict[int, list[Event]]:
    """All events by request, once everything is over."""
    events = list(found or ())
    while batch.busy:
        events += batch.advance(())
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
    return ask(*turns, number=number, **options(number))


def test_the_lean_way_is_taken(speaker: Speaker, generic: Speaker) -> None:
    assert type(speaker.stepper).__name__.startswith("Lean")
    assert speaker.stepper.limit > 1 == generic.stepper.limit


@pytest.mark.parametrize("seed", range(4))
def test_who_comes_and_goes_at_random_steps_gets_what_it_gets_alone(
    speaker: Speaker, generic: Speaker, seed: int
) -> None:
    chance = random.Random(seed)
    batch, events = speaker.batch(PLENTY), []
    coming = [request(number) for number in range(12)]
    leaving = set(chance.sample(range(12), 3))
    while coming or batch.busy:
        if coming and chance.random() < 0.3:
            events += batch.take(coming.pop(0))
        gone = {number for number in leaving if tokens_of(by_request(events).get(number, [])) >= 5}
        events += batch.advance(gone)
    found = by_request(events)
    for number in range(12):
        alone = generic.batch(PLENTY)
        expected = finish(alone, list(alone.take(request(number))))[number]
        if finish_of(found[number]).reason is FinishReason.CANCELLED:
            assert number in leaving
            assert text_of(expected).startswith(text_of(found[number]))
        else:
            assert found[number] == [Started(number, found[number][0].receipt), *expected[1:]]  # type: ignore[union-attr]
    assert speaker.stepper.rows == []


def test_events_come_as_started_deltas_finish(speaker: Speaker) -> None:
    batch, events = speaker.batch(PLENTY), []
    for number in range(5):
        events += batch.take(request(number))
    for mine in finish(batch, events).values():
        kinds = [type(event) for event in mine]
        assert kinds == [Started, *[Delta] * (len(mine) - 2), Finish]


def test_at_most_the_limit_run_and_the_others_wait_in_order(speaker: Speaker) -> None:
    limit = speaker.stepper.limit
    batch, events = speaker.batch(PLENTY), []
    for number in range(limit + 3):
        events += batch.take(ask(QUESTIONS[1], number=number, temperature=0.0, max_new_tokens=20))
    most = 0
    while batch.busy:
        events += batch.advance(())
        most = max(most, len(speaker.stepper.rows))
    assert most == limit
    started = [event.request_id for event in events if isinstance(event, Started)]
    assert started == list(range(limit + 3))
    assert {text_of(mine) for mine in by_request(events).values()} == {text_of(by_request(events)[0])}


def test_memory_is_promised_to_all_before_anyone_is_admitted(speaker: Speaker) -> None:
    one = speaker.stepper.bytes(speaker.prepare(ask(QUESTIONS[1], max_new_tokens=20)).row)
    batch, most = speaker.batch(2 * one), 0
    events = [event for number in range(4) for event in batch.take(ask(QUESTIONS[1], number=number, max_new_tokens=20))]
    events += batch.take(ask(QUESTIONS[1], number=9, max_new_tokens=10_000))
    while batch.busy:
        events += batch.advance(())
        running = list(speaker.stepper.rows)
        most = max(most, len(running))
        assert len(running) == 1 or sum(speaker.stepper.bytes(row) for row in running) <= 2 * one
    assert most == 2
    assert all(finish_of(mine).reason is not FinishReason.ERROR for mine in by_request(events).values())
    assert len(by_request(events)) == 5


def test_a_long_prompt_is_read_between_the_steps_of_others(chat_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "SHARED_PIECE", 8)
    speaker = open_speaker("tiny", Weights(chat_folder, "1"), "fp32")
    batch = speaker.batch(PLENTY)
    events = [*batch.take(ask(QUESTIONS[0], number=1, temperature=0.0, max_new_tokens=30))]
    while tokens_of(events) < 2:
        events += batch.advance(())
    events += batch.take(ask("word " * 40, number=2, max_new_tokens=4))
    rest: list[Event] = []
    while batch.busy:
        rest += batch.advance(())
    start = next(i for i, event in enumerate(rest) if isinstance(event, Started))
    first = next(i for i, event in enumerate(rest) if isinstance(event, Delta) and event.request_id == 2)
    assert sum(isinstance(event, Delta) and event.request_id == 1 for event in rest[start:first]) >= 5


def test_a_row_without_numbers_ends_alone(speaker: Speaker, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = speaker.batch(PLENTY)
    events = [
        event for number in (0, 1, 2) for event in batch.take(ask(QUESTIONS[number], number=number, temperature=0.0))
    ]
    stepper, broken = speaker.stepper, speaker.format.prompt(ask(QUESTIONS[1]), {}).ids
    step = stepper.step

    def spoil(rows: Any) -> torch.Tensor:
        logits = step(rows)
        if any(row.prompt == broken for row in rows):
            # Numbers that go missing in one row may spoil all rows of that step.
            return torch.full_like(logits, float("nan"))
        return logits

    monkeypatch.setattr(stepper, "step", spoil)
    found = finish(batch, events)
    assert finish_of(found[1]).reason is FinishReason.ERROR
    assert "no number" in str(finish_of(found[1]).error)
    assert text_of(found[2]) == LESSONS[QUESTIONS[2]]
    assert finish_of(found[0]).reason is FinishReason.END


def test_a_deadline_counts_from_the_admission(speaker: Speaker) -> None:
    batch = speaker.batch(1)
    events = [*batch.take(ask(QUESTIONS[1], number=1, temperature=0.0, max_new_tokens=5))]
    events += batch.take(ask(QUESTIONS[1], number=2, temperature=0.0, max_new_tokens=5, seconds=0.5))
    time.sleep(0.6)
    assert finish_of(finish(batch, events)[2]).reason is FinishReason.LENGTH
    events = [*batch.take(ask(QUESTIONS[1], number=3, seconds=0.0))]
    assert finish_of(finish(batch, events)[3]).reason is FinishReason.DEADLINE


@pytest.mark.parametrize("wish", ["int8", "bf16"])
def test_other_precisions_say_what_was_learnt_in_company_too(folder: Path, wish: str) -> None:
    speaker = open_speaker("tiny", Weights(folder, "1"), wish)
    batch, events = speaker.batch(PLENTY), []
    for number, question in enumerate(QUESTIONS[1:]):
        events += batch.take(ask(question, number=number, temperature=0.0))
    found = finish(batch, events)
    assert [text_of(found[number]) for number in range(3)] == list(LESSONS.values())[1:]
    started = found[0][0]
    assert isinstance(started, Started)
    assert started.receipt.options["precision"] == settle_precision(wish).name


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """No test leaves a sequence behind in a shared model."""
    yield
    if "speaker" in request.fixturenames:
        assert request.getfixturevalue("speaker").stepper.rows == []
