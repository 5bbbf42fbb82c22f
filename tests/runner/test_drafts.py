"""Answers that are weighed before they are decided, from the engine to the database."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask import Flask

from chatsite.database import db
from chatsite.engine import Request
from chatsite.engine.scripted import ScriptedEngine
from chatsite.models import Message, Status
from chatsite.runner.loop import Runner
from chatsite.services import accounts, generations, messages
from chatsite.services.answerers import Answerer
from tests.conftest import LIMITS, close, make_app
from tests.site import until

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
def quick(tmp_path: Path) -> Iterator[Flask]:
    """An app with short ticks and leases."""
    app = make_app(tmp_path, TICK_MS=10, LEASE_SECONDS=0.6)
    yield app
    close(app)


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
        thread.join(20)
        assert not thread.is_alive()


def ask(app: Flask, text: str, answerer: Answerer | None = None) -> str:
    """Ask as Alice; returns the public id of the answer."""
    with app.app_context():
        alice = accounts.find_or_create("alice")
        name = messages.start(alice, text, "t", text[:20], LIMITS, answerer).answer.public_id
        db.session.remove()
        return name


def look(app: Flask, name: str) -> tuple[Message, str, bool]:
    """The answer as it is now, what is written at it, and whether that is a draft."""
    with app.app_context():
        message = messages.get(accounts.find("alice"), name)
        assert message.generation
        text, draft = generations.written(message.generation.id), generations.undecided(message.generation.id)
        db.session.expunge_all()
        db.session.remove()
        return message, text, draft


def test_an_answer_is_weighed_and_then_decided(quick: Flask) -> None:
    name = ask(quick, f"/draft {TEXT}")
    with running(quick, ScriptedEngine(100)):
        until(lambda: look(quick, name)[2], what="A draft")
        _, text, _ = look(quick, name)
        assert text[:20] == TEXT[:20] or not TEXT.startswith(text)
        until(lambda: not look(quick, name)[0].active, what="The end")
    message = look(quick, name)[0]
    assert (message.text, message.status) == (TEXT, Status.DONE)
    assert message.generation
    assert message.generation.tokens == -(-len(TEXT) // 4)


def test_a_draft_is_handed_over_as_nothing_but_its_seed(quick: Flask) -> None:
    name = ask(quick, f"/draft {TEXT}")
    with running(quick, ScriptedEngine(40)):
        until(lambda: look(quick, name)[2], what="A draft")
    engine = Noting(2000)
    with running(quick, engine):
        until(lambda: not look(quick, name)[0].active, what="The end")
    assert engine.asked[0].prefix == ""
    assert look(quick, name)[0].text == TEXT


def test_stop_keeps_the_best_draft(quick: Flask) -> None:
    name = ask(quick, f"/draft {TEXT * 20}")
    with running(quick, ScriptedEngine(100)):
        until(lambda: len(look(quick, name)[1]) > 40, what="A long draft")
        with quick.app_context():
            generations.stop(messages.get(accounts.find("alice"), name))
            db.session.remove()
        until(lambda: not look(quick, name)[0].active, what="The end")
    message = look(quick, name)[0]
    assert message.status is Status.STOPPED
    assert message.text.startswith(TEXT[:20])


def test_haste_drops_the_drafts_and_writes_word_after_word(quick: Flask) -> None:
    name = ask(quick, f"/draft {TEXT * 4}")
    engine = Noting(100)
    with running(quick, engine):
        until(lambda: look(quick, name)[2], what="A draft")
        with quick.app_context():
            generations.hasten(messages.get(accounts.find("alice"), name))
            db.session.remove()
        until(lambda: not look(quick, name)[0].active, what="The end")
    assert [request.options.preset for request in engine.asked] == [None, "balanced"]
    message = look(quick, name)[0]
    assert (message.text, message.status) == (TEXT * 4, Status.DONE)


def test_the_model_and_the_manner_reach_the_engine(quick: Flask) -> None:
    engine = Noting(2000)
    name = ask(quick, "/say Yes", Answerer("smollm2-135m-instruct", "creative"))
    with running(quick, engine):
        until(lambda: not look(quick, name)[0].active, what="The end")
    assert (engine.asked[0].model, engine.asked[0].options.preset) == ("smollm2-135m-instruct", "creative")


def test_a_manner_of_a_later_version_counts_as_none(quick: Flask) -> None:
    engine = Noting(2000)
    name = ask(quick, "/say Yes", Answerer(None, "unheard-of"))
    with running(quick, engine):
        until(lambda: not look(quick, name)[0].active, what="The end")
    assert (engine.asked[0].model, engine.asked[0].options.preset) == ("", None)
