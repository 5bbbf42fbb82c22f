"""Answers that are weighed before they are decided, from the engine to the database."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask import Flask

from chatsite.database import db
from chatsite.engine.scripted import ScriptedEngine
from chatsite.engine.types import Request
from chatsite.models import Message, Status
from chatsite.runner.loop import Runner
from chatsite.services.accounts import users
from chatsite.services.chat import (
    generations,
    messages,
    reruns,
)
from chatsite.services.models.choice import ModelChoice
from tests.conftest import LIMITS, close_app, make_app
from tests.support.served_site import wait_until

TEXT = " ".join(f"word{number}" for number in range(1, 41))


class Noting(ScriptedEngine):
    """Remembers what it was asked."""

    def __init__(self, speed: float) -> None:
        super().__init__(speed)
        self.asked: list[Request] = []

    def submit(self, request: Request) -> None:
        self.asked.append(request)
        super().submit(request)


@pytest.fixture
def fast_app(tmp_path: Path) -> Iterator[Flask]:
    """An app with short ticks and leases."""
    app = make_app(tmp_path, TICK_MS=10, LEASE_SECONDS=1.5)
    yield app
    close_app(app)


@contextmanager
def running(app: Flask, engine: ScriptedEngine) -> Iterator[None]:
    """A runner in a thread, until the block ends."""
    stop = threading.Event()
    thread = threading.Thread(target=Runner(app, engine, stop).run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()


def ask(app: Flask, text: str, model_choice: ModelChoice | None = None) -> str:
    """Ask as Alice; returns the public id of the answer."""
    with app.app_context():
        alice = users.get_or_create_by_token("alice")
        name = messages.start_conversation(
            alice,
            messages.NewConversation(text[:20]),
            messages.NewMessage(text, "t"),
            limits=LIMITS,
            choice=model_choice,
        ).answer.public_id
        db.session.remove()
        return name


def look(app: Flask, name: str) -> tuple[Message, str, bool]:
    """The answer as it is now, what is written at it, and whether that is a draft."""
    with app.app_context():
        message = messages.get(users.identify_by_token("alice"), name)
        assert message.generation
        text, draft = (
            generations.partial_texts(message.generation.id)[0],
            generations.is_provisional(message.generation.id),
        )
        db.session.expunge_all()
        db.session.remove()
        return message, text, draft


def test_beam_search_answer_streams_drafts_then_final_text(fast_app: Flask) -> None:
    name = ask(fast_app, f"/draft {TEXT}")
    with running(fast_app, ScriptedEngine(100)):
        wait_until(lambda: look(fast_app, name)[2], what="A draft")
        _, text, _ = look(fast_app, name)
        assert text[:20] == TEXT[:20] or not TEXT.startswith(text)
        wait_until(lambda: not look(fast_app, name)[0].is_in_progress, what="The end")
    message = look(fast_app, name)[0]
    assert (message.text, message.status) == (TEXT, Status.DONE)
    assert message.generation
    assert message.generation.token_count == -(-len(TEXT) // 4)


def test_handover_during_beam_search_restarts_text(fast_app: Flask) -> None:
    name = ask(fast_app, f"/draft {TEXT}")
    with running(fast_app, ScriptedEngine(40)):
        wait_until(lambda: look(fast_app, name)[2], what="A draft")
    engine = Noting(2000)
    with running(fast_app, engine):
        wait_until(lambda: not look(fast_app, name)[0].is_in_progress, what="The end")
    assert engine.asked[0].prefix == ""
    assert look(fast_app, name)[0].text == TEXT


def test_stop_keeps_best_draft(fast_app: Flask) -> None:
    name = ask(fast_app, f"/draft {TEXT * 20}")
    with running(fast_app, ScriptedEngine(100)):
        wait_until(lambda: len(look(fast_app, name)[1]) > 40, what="A long draft")
        with fast_app.app_context():
            generations.stop(messages.get(users.identify_by_token("alice"), name))
            db.session.remove()
        wait_until(lambda: not look(fast_app, name)[0].is_in_progress, what="The end")
    message = look(fast_app, name)[0]
    assert message.status is Status.STOPPED
    assert message.text.startswith(TEXT[:20])


def test_switch_to_fast_restarts_with_sampling(fast_app: Flask) -> None:
    name = ask(fast_app, f"/draft {TEXT * 4}")
    engine = Noting(100)
    with running(fast_app, engine):
        wait_until(lambda: look(fast_app, name)[2], what="A draft")
        with fast_app.app_context():
            reruns.switch_to_fast(messages.get(users.identify_by_token("alice"), name))
            db.session.remove()
        wait_until(lambda: not look(fast_app, name)[0].is_in_progress, what="The end")
    assert [request.options.preset for request in engine.asked] == [None, "balanced"]
    message = look(fast_app, name)[0]
    assert (message.text, message.status) == (TEXT * 4, Status.DONE)


def test_engine_receives_model_and_preset(fast_app: Flask) -> None:
    engine = Noting(2000)
    name = ask(fast_app, "/say Yes", ModelChoice("smollm2-135m-instruct", "creative"))
    with running(fast_app, engine):
        wait_until(lambda: not look(fast_app, name)[0].is_in_progress, what="The end")
    assert (engine.asked[0].model, engine.asked[0].options.preset) == ("smollm2-135m-instruct", "creative")


def test_unknown_preset_is_ignored(fast_app: Flask) -> None:
    engine = Noting(2000)
    name = ask(fast_app, "/say Yes", ModelChoice(None, "unheard-of"))
    with running(fast_app, engine):
        wait_until(lambda: not look(fast_app, name)[0].is_in_progress, what="The end")
    assert (engine.asked[0].model, engine.asked[0].options.preset) == ("", None)
