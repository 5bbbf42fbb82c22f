"""A runner that stood still for longer than its lease, or whose connection broke: one answer, one text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select

from chatsite.database import db
from chatsite.engine.types import Request
from chatsite.models import Generation, Message, Status
from chatsite.runner.clock_watch import ClockWatch
from chatsite.runner.loop import Runner
from chatsite.services.accounts import users
from chatsite.services.chat import messages
from tests.conftest import LIMITS, close_app, make_app
from tests.support.stepped_runner import Clock, SteppedEngine, SteppedRunner, broken_connection, fake_clock, stored_text

LEASE = 4.0
TEXT = " ".join(f"word{number}" for number in range(40))


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


def ask(text: str = f"/say {TEXT}", user: str = "alice") -> int:
    """Ask something; returns the id of the generation."""
    new = messages.NewMessage(text, f"key of {text[:50]}")
    person = users.get_or_create_by_token(user)
    answer = messages.start_conversation(person, messages.NewConversation("x"), new, limits=LIMITS).answer
    [generation_id] = db.session.scalars(select(Generation.id).where(Generation.message_id == answer.id))
    return generation_id


def row(generation_id: int) -> Generation:
    db.session.rollback()
    return db.session.get_one(Generation, generation_id, populate_existing=True)


def finish(runner: SteppedRunner) -> None:
    """Write the rest of all answers."""
    runner.engine.write(1000)
    runner.tick()


def test_frozen_runner_continues_its_own_answer(site: Flask, clock: Clock) -> None:
    """The pause falls between the write of a tick and its claim, as in a sleeping laptop."""
    generation_id, runner = ask(), SteppedRunner(site, clock)
    runner.tick()
    for _ in range(5):
        runner.engine.write(20)
        runner.save()
        clock.pass_seconds(3 * LEASE)
        runner.engine.write(20)
        runner.claim()
    finish(runner)
    found = row(generation_id)
    assert (stored_text(generation_id), found.status, found.attempts, found.crash_count) == (TEXT, Status.DONE, 1, 0)


def test_answer_that_comes_back_is_written_by_one_request(site: Flask, clock: Clock) -> None:
    generation_id, frozen, other = ask(), SteppedRunner(site, clock), SteppedRunner(site, clock)
    frozen.tick()
    frozen.engine.write(20)
    frozen.save()
    clock.pass_seconds(2 * LEASE)
    other.tick()
    other.engine.write(30)
    other.end()
    assert row(generation_id).status is Status.QUEUED
    # What the frozen runner's engine wrote meanwhile is void, and so is the end of that request.
    frozen.engine.write(7)
    frozen.claim()
    assert len(frozen.engine.texts) == 1
    frozen.tick()
    finish(frozen)
    assert (stored_text(generation_id), row(generation_id).status) == (TEXT, Status.DONE)


@pytest.mark.parametrize("is_stored", [True, False])
def test_write_with_unknown_end_is_stored_once(site: Flask, clock: Clock, is_stored: bool) -> None:
    generation_id, runner = ask(), SteppedRunner(site, clock)
    runner.tick()
    for _ in range(3):
        runner.engine.write(15)
        with broken_connection("heartbeat", is_stored):
            runner.save()
        runner.engine.write(15)
    finish(runner)
    runner.tick()
    assert (stored_text(generation_id), row(generation_id).status) == (TEXT, Status.DONE)


def test_claim_with_unknown_end_is_handed_back(site: Flask, clock: Clock) -> None:
    generation_id, runner = ask(), SteppedRunner(site, clock)
    with broken_connection("claim", is_stored=True):
        runner.tick()
    assert row(generation_id).status is Status.GENERATING
    runner.tick()
    finish(runner)
    found = row(generation_id)
    assert (stored_text(generation_id), found.status, found.attempts) == (TEXT, Status.DONE, 1)


def test_all_wake_together_and_none_takes_the_others_work(site: Flask, clock: Clock) -> None:
    generation_id, first, second = ask(), SteppedRunner(site, clock), SteppedRunner(site, clock)
    first.tick()
    second.tick()
    clock.pass_seconds(100 * LEASE)
    second.tick()
    assert row(generation_id).attempts == 1
    first.tick()
    clock.pass_seconds(2 * LEASE / 3)
    second.tick()
    finish(first)
    assert (stored_text(generation_id), row(generation_id).attempts) == (TEXT, 1)


def test_clock_set_back_does_not_make_a_dead_runner_live(site: Flask, clock: Clock) -> None:
    generation_id, dead, next_runner = ask(), SteppedRunner(site, clock), SteppedRunner(site, clock)
    dead.tick()
    clock.set_by(-3600)
    for _ in range(12):
        next_runner.tick()
        clock.pass_seconds(LEASE / 4)
    finish(next_runner)
    assert (stored_text(generation_id), row(generation_id).status) == (TEXT, Status.DONE)


class Breaking(SteppedEngine):
    """Cannot take a question that says so."""

    def submit(self, request: Request) -> None:
        """Raise what no engine should."""
        if "break" in request.turns[-1].text:
            raise ValueError("Expecting value: line 1 column 1 (char 0)")
        super().submit(request)


def test_unexpected_error_of_one_request_ends_that_answer_only(site: Flask, clock: Clock) -> None:
    innocent, broken, another = ask(), ask("/say break this"), ask("/say also fine")
    runner = SteppedRunner(site, clock)
    runner.engine = runner.runner._engine = Breaking()
    runner.tick()
    runner.tick()
    failed = row(broken)
    assert (failed.status, str(failed.error)) == (Status.FAILED, "The model could not answer.")
    finish(runner)
    assert [row(id_).status for id_ in (innocent, another)] == [Status.DONE, Status.DONE]


def test_event_that_cannot_be_stored_ends_that_answer_only(
    site: Flask, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = ask()
    runner = SteppedRunner(site, clock)
    monkeypatch.setattr("chatsite.runner.active_answers.serialize_prompt_report", lambda *_: 1 / 0)
    runner.tick()
    runner.tick()
    monkeypatch.undo()
    assert row(broken).status is Status.FAILED
    assert not runner.engine.texts, "The engine still writes it."


def test_one_deadly_question_interrupts_itself_only(site: Flask, clock: Clock) -> None:
    """Each runner that writes it dies at once, together with all that it writes."""
    innocents = [ask(f"/say {TEXT} {number}", f"person {number}") for number in range(6)]
    deadly = ask("/say deadly", "somebody")
    runner, deaths = SteppedRunner(site, clock), 0
    while any(row(id_).is_in_progress for id_ in (*innocents, deadly)):
        runner.tick()
        if runner.runner._answers.find(deadly):
            runner, deaths = SteppedRunner(site, clock), deaths + 1
            assert deaths <= 4
        runner.engine.write(1000)
        clock.pass_seconds(LEASE / 3)
    assert row(deadly).status is Status.INTERRUPTED
    assert [row(id_).status for id_ in innocents] == [Status.DONE] * 6
    assert all(row(id_).crash_count == 0 for id_ in innocents)
    texts = [db.session.get_one(Message, row(id_).message_id).text for id_ in innocents]
    assert texts == [f"{TEXT} {number}" for number in range(6)]


def test_runner_that_waits_for_the_database_lives(site: Flask, clock: Clock) -> None:
    generation_id, stepped = ask(), SteppedRunner(site, clock)
    runner: Runner = stepped.runner
    runner._stop.wait = lambda timeout=None: False  # type: ignore[method-assign]
    with broken_connection("heartbeat", is_stored=False):
        stepped.tick()
        stepped.engine.write(5)
        for _ in range(3):
            runner._run_in_context(stepped.save)
    finish(stepped)
    stepped.tick()
    assert (stored_text(generation_id), row(generation_id).status) == (TEXT, Status.DONE)


def test_pause_and_set_clock_are_noticed() -> None:
    clock = Clock()
    watch: ClockWatch = clock.watch(LEASE)
    assert watch.may_judge
    clock.pass_seconds(LEASE / 4)
    assert watch.may_judge
    for change in (lambda: clock.pass_seconds(LEASE), lambda: clock.set_by(3600), lambda: clock.set_by(-3600)):
        change()
        assert not watch.may_judge
        for _ in range(5):
            clock.pass_seconds(LEASE / 4)
            watch.beat()
        assert watch.may_judge
