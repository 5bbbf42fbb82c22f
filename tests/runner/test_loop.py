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
from chatsite.engine.scripted import ScriptedEngine
from chatsite.engine.types import Engine, Progress, ProgressCallback, Request
from chatsite.errors import ModelLoadError
from chatsite.models import Message, RunnerState, Status, User
from chatsite.models import Runner as RunnerRow
from chatsite.runner.loop import Runner
from chatsite.services.accounts import users
from chatsite.services.chat import (
    generations,
    messages,
    reruns,
)
from chatsite.services.models import runners
from tests.conftest import LIMITS, close_app, make_app
from tests.support.deleting import destroy

TIMEOUT_SECONDS = 60.0
# Short, but longer than a busy machine keeps a thread waiting.
LEASE = 1.5
TEXT = " ".join(f"word{number}" for number in range(1, 41))


@pytest.fixture
def fast_app(tmp_path: Path) -> Iterator[Flask]:
    """An app with short ticks and leases."""
    app = make_app(tmp_path, TICK_MS=10, LEASE_SECONDS=LEASE)
    yield app
    close_app(app)


@contextmanager
def running(app: Flask, engine: Engine) -> Iterator[Runner]:
    """A runner in a thread, until the block ends."""
    stop = threading.Event()
    runner = Runner(app, engine, stop)
    thread = threading.Thread(target=runner.run)
    thread.start()
    try:
        yield runner
    finally:
        stop.set()
        thread.join(TIMEOUT_SECONDS)
        assert not thread.is_alive()


def ask(app: Flask, text: str, token: str = "t") -> str:
    """Ask as Alice; returns the public id of the answer."""
    with app.app_context():
        alice = users.get_or_create_by_token("alice")
        name = messages.start_conversation(
            alice, messages.NewConversation(text[:20]), messages.NewMessage(text, token), limits=LIMITS
        ).answer.public_id
        db.session.remove()
        return name


def look(app: Flask, name: str) -> Message:
    """The answer as it is now."""
    with app.app_context():
        message = messages.get(users.identify_by_token("alice"), name)
        db.session.expunge_all()
        db.session.remove()
        return message


def until(true: Callable[[], bool]) -> None:
    """Wait until something is true, and fail when it does not become so."""
    end = time.monotonic() + TIMEOUT_SECONDS
    while not true():
        assert time.monotonic() < end, "It did not happen."
        time.sleep(0.02)


def over(app: Flask, name: str) -> bool:
    return not look(app, name).is_in_progress


def so_far(app: Flask, name: str) -> str:
    """What is written of an answer."""
    message = look(app, name)
    with app.app_context():
        assert message.generation
        text = message.text + generations.partial_texts(message.generation.id)[0]
        db.session.remove()
        return text


def test_a_question_is_answered(fast_app: Flask) -> None:
    name = ask(fast_app, f"/say {TEXT}")
    with running(fast_app, ScriptedEngine(2000)):
        until(lambda: over(fast_app, name))
    message = look(fast_app, name)
    assert (message.text, message.status) == (TEXT, Status.DONE)
    assert message.generation
    assert message.generation.prompt_report
    assert message.generation.prompt_report["kept"] == 1
    assert message.generation.finish_reason == "end"
    assert message.generation.first_token_at is not None


def test_many_questions_are_answered_concurrently(fast_app: Flask) -> None:
    names = []
    with fast_app.app_context():
        for number in range(12):
            user = users.get_or_create_by_token(f"user {number}")
            names.append(
                (
                    user.id,
                    messages.start_conversation(
                        user,
                        messages.NewConversation("x"),
                        messages.NewMessage(f"/say {number} {TEXT}", "t"),
                        limits=LIMITS,
                    ).answer.public_id,
                )
            )
        db.session.remove()
    with running(fast_app, ScriptedEngine(800)), fast_app.app_context():
        for number, (_, name) in enumerate(names):
            user = users.get_or_create_by_token(f"user {number}")

            def is_over(user: User = user, name: str = name) -> bool:
                active = messages.get(user, name).is_in_progress
                db.session.remove()
                return not active

            until(is_over)
            assert messages.get(user, name).text == f"{number} {TEXT}"
        db.session.remove()


def test_stop_ends_answer_and_keeps_text(fast_app: Flask) -> None:
    name = ask(fast_app, "/long 100000")
    with running(fast_app, ScriptedEngine(100)):
        until(lambda: len(so_far(fast_app, name)) > 20)
        with fast_app.app_context():
            generations.stop(messages.get(users.identify_by_token("alice"), name))
            db.session.remove()
        until(lambda: over(fast_app, name))
    message = look(fast_app, name)
    assert message.status is Status.STOPPED
    assert message.text.startswith("word1 word2 ")


def test_deleting_conversation_cancels_generation(fast_app: Flask) -> None:
    engine = Counting(100)
    name = ask(fast_app, "/long 100000")
    with running(fast_app, engine):
        until(lambda: len(so_far(fast_app, name)) > 20)
        with fast_app.app_context():
            destroy(messages.get(users.identify_by_token("alice"), name).conversation)
            db.session.remove()
        until(lambda: bool(engine.canceled))


def test_engine_failure_is_stored_as_error(fast_app: Flask) -> None:
    name = ask(fast_app, "/fail")
    with running(fast_app, ScriptedEngine(2000)):
        until(lambda: over(fast_app, name))
    message = look(fast_app, name)
    assert message.status is Status.FAILED
    assert message.generation
    assert str(message.generation.error) == "The script was asked to fail."


def test_length_limit_cuts_answer_and_continue_resumes(tmp_path: Path) -> None:
    app = make_app(tmp_path, TICK_MS=10, MAX_ANSWER_TOKENS=10)
    name = ask(app, f"/say {TEXT}")
    with running(app, ScriptedEngine(2000)):
        until(lambda: over(app, name))
        cut = look(app, name)
        assert cut.text == TEXT[:40]
        assert generations.can_continue(cut)
        with app.app_context():
            reruns.queue(messages.get(users.identify_by_token("alice"), name), keep_text=True, limits=LIMITS)
            db.session.remove()
        until(lambda: over(app, name))
    assert look(app, name).text == TEXT[:80]
    close_app(app)


def test_runner_shutdown_hands_over_answer(fast_app: Flask) -> None:
    name = ask(fast_app, "/say " + TEXT)
    with running(fast_app, ScriptedEngine(60)):
        until(lambda: len(so_far(fast_app, name)) > 20)
    handed = look(fast_app, name)
    assert handed.status is Status.QUEUED
    with running(fast_app, ScriptedEngine(2000)):
        until(lambda: over(fast_app, name))
    assert look(fast_app, name).text == TEXT
    generation = look(fast_app, name).generation
    assert generation
    assert generation.attempts == 1


class Dying(ScriptedEngine):
    """Breaks its runner, as a bug would, once it has written a little."""

    def poll_events(self, timeout_seconds: float):
        found = super().poll_events(timeout_seconds)
        if any(getattr(event, "text", "") for event in found):
            raise RuntimeError("The engine broke.")
        return found


def test_answer_crashing_its_runners_is_interrupted(fast_app: Flask) -> None:
    name = ask(fast_app, "/say " + TEXT)
    for _ in range(2):
        runner = Runner(fast_app, Dying(2000), threading.Event())
        with pytest.raises(RuntimeError):
            runner.run()
        # Until the lease of the dead one is over.
        time.sleep(LEASE + 0.1)
    with running(fast_app, ScriptedEngine(2000)):
        until(lambda: over(fast_app, name))
    message = look(fast_app, name)
    assert message.status is Status.INTERRUPTED
    assert TEXT.startswith(message.text)


class Counting(ScriptedEngine):
    """Remembers what was asked of it."""

    def __init__(self, speed: float) -> None:
        super().__init__(speed)
        self.submitted: list[Request] = []
        self.canceled: list[int] = []

    def submit(self, request: Request) -> None:
        self.submitted.append(request)
        super().submit(request)

    def cancel(self, request_id: int) -> None:
        self.canceled.append(request_id)
        super().cancel(request_id)


def test_engine_receives_conversation_history(fast_app: Flask) -> None:
    engine = Counting(5000)
    name = ask(fast_app, "/say one")
    with running(fast_app, engine):
        until(lambda: over(fast_app, name))
        with fast_app.app_context():
            alice = users.get_or_create_by_token("alice")
            conversation = messages.get(alice, name).conversation
            messages.post_message(alice, conversation, messages.NewMessage("/say two", "t2"), limits=LIMITS)
            db.session.remove()
        until(lambda: len(engine.submitted) == 2)
    assert [turn.text for turn in engine.submitted[1].turns] == ["/say one", "one", "/say two"]


class Slow(ScriptedEngine):
    """Loads in steps, as a model does."""

    def __init__(self) -> None:
        super().__init__(1000)
        self.go_on = threading.Event()

    def load(self, on_progress: ProgressCallback) -> None:
        on_progress(Progress("fetching", 0.25))
        self.go_on.wait(TIMEOUT_SECONDS)
        super().load(on_progress)


def find_runner(app: Flask) -> RunnerRow | None:
    with app.app_context():
        found = runners.find_current(app.config["LEASE_SECONDS"])
        db.session.expunge_all()
        db.session.remove()
        return found


def test_loading_is_reported_and_questions_wait(fast_app: Flask) -> None:
    engine = Slow()
    name = ask(fast_app, "/say hello")
    with running(fast_app, engine):
        until(
            lambda: bool(
                (found := find_runner(fast_app)) and found.state is RunnerState.FETCHING and found.progress == 0.25
            )
        )
        assert look(fast_app, name).status is Status.QUEUED
        engine.go_on.set()
        until(lambda: over(fast_app, name))
        until(lambda: bool((found := find_runner(fast_app)) and found.state is RunnerState.READY))
    assert find_runner(fast_app) is None


class Missing(ScriptedEngine):
    """Cannot be had."""

    def load(self, on_progress: ProgressCallback) -> None:
        raise ModelLoadError(reason="nobody has it")


def test_unavailable_model_is_reported(fast_app: Flask) -> None:
    with running(fast_app, Missing(1)):
        until(lambda: bool((found := find_runner(fast_app)) and found.state is RunnerState.FAILED))
        found = find_runner(fast_app)
        assert found
        assert "nobody has it" in str(found.error)
