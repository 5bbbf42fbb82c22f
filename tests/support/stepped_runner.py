"""Runners that a test moves step by step, with a clock of its own: frozen, robbed of a lease or cut off at any point.

The engine writes only when it is told to, and what it writes is known: the words of the question, after what is there.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import ModuleType

import pytest
from flask import Flask
from sqlalchemy import Select, select

from chatsite.database import db
from chatsite.engine.outbox import Outbox, drain_events
from chatsite.engine.scripted import ScriptedEngine, build_report, text_for
from chatsite.engine.types import Delta, Event, Finish, FinishReason, Request, Started
from chatsite.errors import DatabaseUnavailableError
from chatsite.models import Generation, Message, RunnerState
from chatsite.runner.clock_watch import ClockWatch
from chatsite.runner.loop import Runner
from chatsite.services import leases
from chatsite.services.chat import generation_leases, generations
from chatsite.services.chat.claim_selection import RunnerModels

# What the runners of a test can answer with, and write titles with.
MODELS = frozenset({"scripted", "qwen3-0.6b"})
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    """A clock that goes on when it is told to. `now` is what it shows, `steady` what has really passed."""

    def __init__(self) -> None:
        self.now = BEGINNING
        self.steady = 0.0

    def pass_seconds(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)
        self.steady += seconds

    def set_by(self, seconds: float) -> None:
        """Set the clock ahead, or back."""
        self.now += timedelta(seconds=seconds)

    def watch(self, lease_seconds: float) -> ClockWatch:
        """What tells a runner that it slept, by this clock."""
        return ClockWatch(
            lease_seconds / 2, lease_seconds, wall_clock=lambda: self.now.timestamp(), steady_clock=lambda: self.steady
        )


class SteppedEngine(ScriptedEngine):
    """Writes some characters of every answer when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self._outbox: Outbox = queue.SimpleQueue()
        self.texts: dict[int, str] = {}

    def submit(self, request: Request) -> None:
        """Take up a request."""
        assert request.id not in self.texts, "Two requests have one number."
        self.texts[request.id] = text_for(request).removeprefix(request.prefix)
        self._outbox.put(Started(request.id, build_report(request)))

    def cancel(self, request_id: int) -> None:
        """End a request."""
        if self.texts.pop(request_id, None) is not None:
            self._outbox.put(Finish(request_id, FinishReason.CANCELED))

    def write(self, chars: int) -> None:
        """Write on in all answers."""
        for request_id, text in list(self.texts.items()):
            if text:
                self._outbox.put(Delta(request_id, text[:chars], 1))
            self.texts[request_id] = text[chars:]
            if not text[chars:]:
                del self.texts[request_id]
                self._outbox.put(Finish(request_id, FinishReason.END))

    def poll_events(self, timeout_seconds: float) -> list[Event]:
        """What was written since the last call."""
        return drain_events(self._outbox, 0.0001)


class SteppedRunner:
    """A runner whose tick is done in parts, between which anything may happen."""

    def __init__(self, app: Flask, clock: Clock, models: Collection[str] = MODELS) -> None:
        self.engine = SteppedEngine()
        self.stop = threading.Event()
        self.runner = Runner(app, self.engine, self.stop)
        self.runner._clock_watch = clock.watch(app.config["LEASE_SECONDS"])
        local = RunnerModels(frozenset(models))
        self.runner._list_models = lambda: local  # type: ignore[method-assign]

    def save(self) -> None:
        """Take the engine's events and store them."""
        for event in self.engine.poll_events(0):
            self.runner._answers.add_event(event)
            self.runner._title_writer.add_event(event)
        self.runner._next_renewal_at = 0.0
        self.runner._save_updates()
        if title := self.runner._title_writer._active:
            title.next_renewal_at = 0.0
        self.runner._title_writer.poll(may_reap=self.runner._clock_watch.may_judge)

    def compare(self) -> None:
        """Notice stops and lost leases."""
        self.runner._compare_with_database()

    def claim(self) -> None:
        """Claim what waits."""
        self.runner._claim_work(self.engine.capacity - self.runner._answers.local_count)
        self.runner._claim_title()

    def tick(self) -> None:
        """Do a whole tick."""
        self.save()
        self.compare()
        self.claim()

    def report(self) -> None:
        """Say that it is alive, and what it can answer with."""
        self.runner._next_heartbeat_at = 0.0
        self.runner._heartbeat(RunnerState.READY)

    def end(self) -> None:
        """End in order, as on a signal."""
        self.stop.set()
        self.runner._shut_down()


@contextmanager
def fake_clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """Let all leases end by a clock of the test."""
    clock = Clock()
    with monkeypatch.context() as patch:
        patch.setattr(leases, "utcnow", lambda: clock.now)
        yield clock


@contextmanager
def broken_connection(name: str, is_stored: bool, module: ModuleType = generation_leases) -> Iterator[None]:
    """Let the caller of `claim` or `heartbeat` learn of a broken connection, before or after the write is stored."""
    real: Callable[..., object] = getattr(module, name)

    def store_and_break(*args: object, **options: object) -> object:
        if is_stored:
            real(*args, **options)
        raise DatabaseUnavailableError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, name, store_and_break)
        try:
            yield
        except DatabaseUnavailableError:
            db.session.rollback()


def stored_text(generation_id: int) -> str:
    """What is stored of an answer."""
    query: Select[str] = select(Message.text).join(Generation, Generation.message_id == Message.id)
    text = db.session.scalar(query.where(Generation.id == generation_id))
    return (text or "") + generations.partial_texts(generation_id)[0]


def drain(runner: SteppedRunner, clock: Clock, is_over: Callable[[], bool], lease_seconds: float) -> None:
    """Let one runner write everything to its end, though others are dead or frozen."""
    end = time.monotonic() + 60
    while not is_over():
        assert time.monotonic() < end, "The answers do not end."
        runner.tick()
        runner.engine.write(1000)
        clock.pass_seconds(lease_seconds / 4)
