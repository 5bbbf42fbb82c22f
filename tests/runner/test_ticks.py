"""Ticks: as long as they are to be, but for what somebody waits for."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from chatsite.engine.scripted import ScriptedEngine
from chatsite.engine.types import Delta, Event, Finish, FinishReason, Reasoning
from chatsite.runner import ticks
from chatsite.runner.active_answers import ActiveAnswers
from chatsite.runner.loop import Runner
from chatsite.runner.ticks import LOOK_SECONDS, Ticks
from chatsite.services.chat.generation_leases import ClaimedGeneration
from tests.conftest import close_app, make_app
from tests.runner.test_loop import ask

TICK_SECONDS = 1.0
LONG_TICK_SECONDS = 60


class Clock:
    """Stands still until somebody waits."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


class Waiting(threading.Event):
    """Is never set; a wait only moves the clock."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        self._clock.now += timeout or 0.0
        return False


class Timed(ScriptedEngine):
    """Has an event at each moment of a list, and counts how often it is asked."""

    def __init__(self, clock: Clock, moments: list[float]) -> None:
        super().__init__()
        self._clock = clock
        self._moments = moments
        self.looks = 0

    def poll_events(self, timeout_seconds: float) -> list[Event]:
        self.looks += 1
        end = self._clock.now + timeout_seconds
        due = [moment for moment in self._moments if moment <= end]
        self._clock.now = max(self._clock.now, due[0]) if due else end
        self._moments = [moment for moment in self._moments if moment > self._clock.now]
        return [Delta(1, "word", 1)] * bool(due)


def gather(
    monkeypatch: pytest.MonkeyPatch, moments: list[float], *, awaited: bool, count: int = 1
) -> tuple[list[float], Timed]:
    """Let ticks pass; returns how long each took, and the engine."""
    clock = Clock()
    monkeypatch.setattr(ticks, "time", clock)
    engine = Timed(clock, [clock.now + moment for moment in moments])
    gathering = Ticks(engine, TICK_SECONDS, stop=Waiting(clock), take_events=lambda events: awaited and bool(events))
    lengths = []
    for _ in range(count):
        start = clock.now
        gathering.gather(lambda: False)
        lengths.append(round(clock.now - start, 3))
    return lengths, engine


def test_tick_is_as_long_as_it_is_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths, _ = gather(monkeypatch, [0.1, 0.2, 1.3], awaited=False, count=2)
    assert lengths == [TICK_SECONDS, TICK_SECONDS]


def test_tick_ends_with_what_somebody_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths, _ = gather(monkeypatch, [0.1], awaited=True)
    assert lengths == [0.1]


def test_one_tick_at_most_ends_early_in_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or whoever begins many answers would cause as many transactions."""
    moments = [number / 10 for number in range(1, 40)]
    lengths, _ = gather(monkeypatch, moments, awaited=True, count=4)
    assert lengths[0] == 0.1
    assert sum(lengths) >= 3 * TICK_SECONDS


def test_events_are_not_looked_for_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = [number / 1000 for number in range(1, 1000)]
    _, engine = gather(monkeypatch, moments, awaited=False)
    assert engine.looks <= TICK_SECONDS / LOOK_SECONDS + 2


def test_beginning_and_end_of_an_answer_are_waited_for() -> None:
    answers = ActiveAnswers()
    number = answers.add(ClaimedGeneration(1, 1, (), "", 0, None)).request_id
    events: list[Event] = [
        Reasoning(number, "Well", 1),
        Delta(number, "A", 1),
        Delta(number, " dog", 1),
        Finish(number, FinishReason.END),
        Delta(number, "late", 1),
    ]
    assert [answers.add_event(event) for event in events] == [True, False, False, True, False]
    assert not answers.add_event(Delta(number + 1, "Nobody asked", 1))


def test_question_ends_a_tick(tmp_path: Path) -> None:
    app = make_app(tmp_path, TICK_MS=1000 * LONG_TICK_SECONDS)
    runner = Runner(app, ScriptedEngine(), threading.Event())
    with app.app_context():
        # What was there before is no news.
        runner._database_watch.has_changed()
    ask(app, "/say something")
    start = time.monotonic()
    with app.app_context():
        runner._run_tick()
        assert len(runner._answers) == 1
        runner._shut_down()
    assert time.monotonic() - start < LONG_TICK_SECONDS
    close_app(app)
