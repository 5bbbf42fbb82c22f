"""Questions that only another runner can answer are left to it, also while its old heartbeat proves nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select

from chatsite.database import db
from chatsite.models import Conversation, Generation, Status, TitleRequest
from chatsite.services.accounts import users
from chatsite.services.chat import messages
from chatsite.services.models.choice import ModelChoice
from tests.conftest import LIMITS, close_app, make_app
from tests.support.stepped_runner import Clock, SteppedRunner, fake_clock, stored_text

LEASE = 4.0
THEIRS = "qwen3-0.6b"
TEXT = "Here it is. /title By a model"
CHANGES: dict[str, Callable[[Clock], None]] = {
    "asleep": lambda clock: clock.pass_seconds(3 * LEASE),
    "set ahead": lambda clock: clock.set_by(3600),
    "set back": lambda clock: clock.set_by(-3600),
    # Longer than a silent runner is remembered.
    "set far ahead": lambda clock: clock.set_by(40 * 86400),
}
changed = pytest.mark.parametrize("change", list(CHANGES.values()), ids=list(CHANGES))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """A clock that stands still until a test moves it."""
    with fake_clock(monkeypatch) as made:
        yield made


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Flask]:
    """An app on SQLite, in its context."""
    app = make_app(tmp_path, LEASE_SECONDS=LEASE)
    with app.app_context():
        yield app
        db.session.remove()
    close_app(app)


@pytest.fixture
def runners(site: Flask, clock: Clock) -> tuple[SteppedRunner, SteppedRunner]:
    """One that has the model of the site only, and one that has another; both have just said so."""
    ours, theirs = SteppedRunner(site, clock, {"scripted"}), SteppedRunner(site, clock, {THEIRS})
    for runner in (ours, theirs):
        runner.tick()
        runner.report()
    return ours, theirs


def ask() -> Generation:
    """Ask a model that one of the two has."""
    answer = messages.start_conversation(
        users.get_or_create_by_token("alice"),
        messages.NewConversation("By rule", wants_model_title=True),
        messages.NewMessage(f"/say {TEXT}", "key"),
        limits=LIMITS,
        choice=ModelChoice(THEIRS),
    ).answer
    assert answer.generation
    return answer.generation


def status_of(generation: Generation) -> Status:
    db.session.rollback()
    return db.session.get_one(Generation, generation.id, populate_existing=True).status


@changed
def test_question_waits_for_a_runner_that_slept_too(
    runners: tuple[SteppedRunner, SteppedRunner], clock: Clock, change: Callable[[Clock], None]
) -> None:
    ours, theirs = runners
    change(clock)
    generation = ask()
    ours.tick()
    ours.report()
    assert (status_of(generation), ours.engine.texts) == (Status.QUEUED, {})
    theirs.tick()
    theirs.report()
    assert status_of(generation) is Status.GENERATING
    theirs.engine.write(1000)
    theirs.tick()
    assert (status_of(generation), stored_text(generation.id)) == (Status.DONE, TEXT)


@changed
def test_question_waits_for_one_lease_only(
    runners: tuple[SteppedRunner, SteppedRunner], clock: Clock, change: Callable[[Clock], None]
) -> None:
    """The other runner does not come back: the question is taken by one that says why it cannot be answered."""
    ours, _ = runners
    change(clock)
    generation = ask()
    for _ in range(4):
        ours.tick()
        assert status_of(generation) is Status.QUEUED
        clock.pass_seconds(LEASE / 4)
    ours.tick()
    assert status_of(generation) is Status.GENERATING


@changed
def test_title_waits_for_a_runner_that_slept_too(
    runners: tuple[SteppedRunner, SteppedRunner], clock: Clock, change: Callable[[Clock], None]
) -> None:
    ours, theirs = runners
    generation = ask()
    theirs.claim()
    theirs.engine.write(1000)
    theirs.save()
    assert status_of(generation) is Status.DONE
    change(clock)
    ours.tick()
    ours.report()
    assert ours.engine.texts == {}
    assert db.session.scalars(select(TitleRequest.lease_owner)).all() == [None]
    theirs.tick()
    theirs.engine.write(1000)
    theirs.save()
    assert db.session.scalars(select(Conversation.title)).all() == ["By a model"]
