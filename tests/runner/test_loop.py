"""The runner with the scripted engine: what is asked gets answered, whatever happens on the way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask import Flask

from chatsite.database import db
from chatsite.engine import Progress, Report, Request
from chatsite.engine.scripted import ScriptedEngine
from chatsite.errors import ModelUnavailableError
from chatsite.models import Message, RunnerState, Status
from chatsite.models import Runner as RunnerRow
from chatsite.runner.loop import Runner
from chatsite.services import accounts, conversations, generations, messages, runners
from tests.conftest import LIMITS, close, make_app

PATIENCE = 20.0
TEXT = " ".join(f"word{number}" for number in range(1, 41))


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Flask]:
    """An app with short ticks and leases."""
    app = make_app(tmp_path, TICK_MS=10, LEASE_SECONDS=0.6)
    yield app
    close(app)


@contextmanager
def running(app: Flask, engine: ScriptedEngine) -> Iterator[Runner]:
    """A runner in a thread, until the block ends."""
    stop = threading.Event()
    runner = Runner(app, engine, stop)
    thread = threading.Thread(target=runner.run)
    thread.start()
    try:
        yield runner
    finally:
        stop.set()
        thread.join(PATIENCE)
        assert not thread.is_alive()


def ask(app: Flask, text: str, token: str = "t") -> str:
    """Ask as Alice; returns the public id of the answer."""
    with app.app_context():
        alice = accounts.find_or_create("alice")
        name = messages.start(alice, text, token, text[:20], LIMITS).answer.public_id
        db.session.remove()
        return name


def look(app: Flask, name: str) -> Message:
    """The answer as it is now."""
    with app.app_context():
        message = messages.get(accounts.find("alice"), name)
        db.session.expunge_all()
        db.session.remove()
        return message


def until(true: Callable[[], bool]) -> None:
    """Wait until something is true, and fail when it does not become so."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, "It did not happen."
        time.sleep(0.02)


def over(app: Flask, name: str) -> bool:
    return not look(app, name).active


def so_far(app: Flask, name: str) -> str:
    """What is written of an answer."""
    message = look(app, name)
    with app.app_context():
        assert message.generation
        text = message.text + generations.written(message.generation.id)
        db.session.remove()
        return text


def test_a_question_is_answered(quick: Flask) -> None:
    name = ask(quick, f"/say {TEXT}")
    with running(quick, ScriptedEngine(2000)):
        until(lambda: over(quick, name))
    message = look(quick, name)
    assert (message.text, message.status) == (TEXT, Status.DONE)
    assert message.generation
    assert message.generation.receipt
    assert message.generation.receipt["kept"] == 1
    assert message.generation.finish_reason == "end"
    assert message.generation.first_token_at is not None


def test_many_questions_are_answered_at_once(quick: Flask) -> None:
    names = []
    with quick.app_context():
        for number in range(12):
            user = accounts.find_or_create(f"user {number}")
            names.append((user.id, messages.start(user, f"/say {number} {TEXT}", "t", "x", LIMITS).answer.public_id))
        db.session.remove()
    with running(quick, ScriptedEngine(800)), quick.app_context():
        for number, (_, name) in enumerate(names):
            user = accounts.find(f"user {number}")
            until(lambda user=user, name=name: not messages.get(user, name).active or bool(db.session.remove()))
            assert messages.get(user, name).text == f"{number} {TEXT}"
        db.session.remove()


def test_stop_ends_it_and_keeps_what_was_written(quick: Flask) -> None:
    name = ask(quick, "/long 100000")
    with running(quick, ScriptedEngine(100)):
        until(lambda: len(so_far(quick, name)) > 20)
        with quick.app_context():
            generations.stop(messages.get(accounts.find("alice"), name))
            db.session.remove()
        until(lambda: over(quick, name))
    message = look(quick, name)
    assert message.status is Status.STOPPED
    assert message.text.startswith("word1 word2 ")


def test_a_deleted_conversation_ends_its_answer(quick: Flask) -> None:
    engine = Counting(100)
    name = ask(quick, "/long 100000")
    with running(quick, engine):
        until(lambda: len(so_far(quick, name)) > 20)
        with quick.app_context():
            conversations.destroy(messages.get(accounts.find("alice"), name).conversation)
            db.session.remove()
        until(lambda: bool(engine.cancelled))


def test_a_failure_is_said(quick: Flask) -> None:
    name = ask(quick, "/fail")
    with running(quick, ScriptedEngine(2000)):
        until(lambda: over(quick, name))
    message = look(quick, name)
    assert message.status is Status.FAILED
    assert message.generation
    assert message.generation.error == "The script was asked to fail."


def test_the_length_limit_cuts_and_continue_goes_on(tmp_path: Path) -> None:
    app = make_app(tmp_path, TICK_MS=10, ANSWER_TOKENS=10)
    name = ask(app, f"/say {TEXT}")
    with running(app, ScriptedEngine(2000)):
        until(lambda: over(app, name))
        cut = look(app, name)
        assert cut.text == TEXT[:40]
        assert generations.can_continue(cut)
        with app.app_context():
            generations.repeat(messages.get(accounts.find("alice"), name), keep_text=True, limits=LIMITS)
            db.session.remove()
        until(lambda: over(app, name))
    assert look(app, name).text == TEXT[:80]
    close(app)


def test_a_runner_that_ends_hands_over_at_once(quick: Flask) -> None:
    name = ask(quick, "/say " + TEXT)
    with running(quick, ScriptedEngine(60)):
        until(lambda: len(so_far(quick, name)) > 20)
    handed = look(quick, name)
    assert handed.status is Status.QUEUED
    with running(quick, ScriptedEngine(2000)):
        until(lambda: over(quick, name))
    assert look(quick, name).text == TEXT
    generation = look(quick, name).generation
    assert generation
    assert generation.attempt == 1


class Dying(ScriptedEngine):
    """Breaks its runner, as a bug would, once it has written a little."""

    def events(self, wait: float):  # type: ignore[no-untyped-def]
        found = super().events(wait)
        if any(getattr(event, "text", "") for event in found):
            raise RuntimeError("The engine broke.")
        return found


def test_an_answer_that_kills_its_runners_is_interrupted(quick: Flask) -> None:
    name = ask(quick, "/say " + TEXT)
    for _ in range(2):
        runner = Runner(quick, Dying(2000), threading.Event())
        with pytest.raises(RuntimeError):
            runner.run()
        time.sleep(0.7)
    with running(quick, ScriptedEngine(2000)):
        until(lambda: over(quick, name))
    message = look(quick, name)
    assert message.status is Status.INTERRUPTED
    assert TEXT.startswith(message.text)


class Counting(ScriptedEngine):
    """Remembers what was asked of it."""

    def __init__(self, speed: float) -> None:
        super().__init__(speed)
        self.submitted: list[Request] = []
        self.cancelled: list[int] = []

    def submit(self, request: Request) -> None:
        self.submitted.append(request)
        super().submit(request)

    def cancel(self, request_id: int) -> None:
        self.cancelled.append(request_id)
        super().cancel(request_id)


def test_the_engine_gets_the_history(quick: Flask) -> None:
    engine = Counting(5000)
    name = ask(quick, "/say one")
    with running(quick, engine):
        until(lambda: over(quick, name))
        with quick.app_context():
            alice = accounts.find_or_create("alice")
            conversation = messages.get(alice, name).conversation
            messages.post(alice, conversation, "/say two", "t2", LIMITS)
            db.session.remove()
        until(lambda: len(engine.submitted) == 2)
    assert [turn.text for turn in engine.submitted[1].turns] == ["/say one", "one", "/say two"]


class Slow(ScriptedEngine):
    """Loads in steps, as a model does."""

    def __init__(self) -> None:
        super().__init__(1000)
        self.go_on = threading.Event()

    def load(self, report: Report) -> None:
        report(Progress("fetching", 0.25))
        self.go_on.wait(PATIENCE)
        super().load(report)


def heard(app: Flask) -> RunnerRow | None:
    with app.app_context():
        found = runners.current(app.config["LEASE_SECONDS"])
        db.session.expunge_all()
        db.session.remove()
        return found


def test_loading_is_said_and_questions_wait_for_it(quick: Flask) -> None:
    engine = Slow()
    name = ask(quick, "/say hello")
    with running(quick, engine):
        until(lambda: bool((found := heard(quick)) and found.state is RunnerState.FETCHING and found.progress == 0.25))
        assert look(quick, name).status is Status.QUEUED
        engine.go_on.set()
        until(lambda: over(quick, name))
        until(lambda: bool((found := heard(quick)) and found.state is RunnerState.READY))
    assert heard(quick) is None


class Missing(ScriptedEngine):
    """Cannot be had."""

    def load(self, report: Report) -> None:
        raise ModelUnavailableError(reason="nobody has it")


def test_a_model_that_cannot_be_had_is_said(quick: Flask) -> None:
    with running(quick, Missing(1)):
        until(lambda: bool((found := heard(quick)) and found.state is RunnerState.FAILED))
        found = heard(quick)
        assert found
        assert "nobody has it" in (found.reason or "")
