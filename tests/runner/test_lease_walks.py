"""Runners that freeze, die, lose their leases and their connections at any point, and clocks that are set.

Random walks move two runners on a real database, part of a tick by part of a tick; the model knows what each answer
must say. Whatever happens, what is stored is a beginning of that, and in the end all of it. The engine is asked for
titles, too: in the end each conversation has the one that its user gave, or else that of the engine.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select

from chatsite.database import db
from chatsite.models import IN_PROGRESS, Conversation, Generation, Message, Status, TitleRequest
from chatsite.services.accounts import users
from chatsite.services.chat import conversations, generations, messages, title_requests
from chatsite.services.chat.generations import QueueLimits
from chatsite.services.models.choice import ModelChoice
from tests.conftest import close_app, make_app
from tests.support.stepped_runner import (
    Clock,
    SteppedRunner,
    broken_connection,
    drain,
    fake_clock,
    stored_text,
)

LEASE = 4.0
RUNNER_COUNT = 2
STEP_COUNT = 120
LIMITS = QueueLimits(max_message_chars=8000, max_queued_per_user=1000, max_queued=1000)


class LeaseWalk:
    """Two runners, what they should write, and the steps that were taken."""

    def __init__(self, app: Flask, clock: Clock, seed: int) -> None:
        self._app = app
        self._clock = clock
        self._rng = random.Random(seed)
        self._seed = seed
        self._expected: dict[int, str] = {}
        self._stopped: set[int] = set()
        self._titles: dict[int, str] = {}
        self._given_titles: dict[int, str] = {}
        self._runners = [SteppedRunner(app, clock) for _ in range(RUNNER_COUNT)]
        self._user = users.get_or_create_by_token("alice")
        self._running: Sequence[int] = ()
        self.taken: list[str] = []

    def walk(self) -> None:
        """Take some steps, look after each of them, and write everything to its end."""
        steps: dict[Callable[[int], None], int] = {
            self._ask: 6,
            self._write: 12,
            self._save: 10,
            self._write_and_save: 8,
            self._compare: 4,
            self._claim: 8,
            self._tick: 12,
            self._pass_time: 8,
            self._set_clock: 2,
            self._kill: 2,
            self._restart: 2,
            self._lose_connection: 4,
            self._rob: 3,
            self._stop: 1,
            self._rename: 2,
        }
        for step in self._rng.choices(list(steps), list(steps.values()), k=STEP_COUNT):
            number = self._rng.randrange(RUNNER_COUNT)
            self.taken.append(f"{step.__name__} {number}")
            step(number)
            self._check_texts()
        self._drain()

    def _ask(self, _number: int) -> None:
        """Ask something whose answer is known."""
        number = f"{self._seed}.{len(self._expected)}"
        text = " ".join(f"{number}.{place}" for place in range(self._rng.randint(6, 12))) + f" /title Title {number}"
        new = messages.NewMessage(f"/say {text}", f"key {number}")
        answer = messages.start_conversation(
            self._user,
            messages.NewConversation("x", wants_model_title=True),
            new,
            limits=LIMITS,
            choice=ModelChoice("qwen3-0.6b"),
        ).answer
        generation_id = db.session.scalar(select(Generation.id).where(Generation.message_id == answer.id))
        assert generation_id
        self._expected[generation_id] = text
        self._titles[answer.conversation_id] = f"Title {number}"

    def _rename(self, _number: int) -> None:
        """Give one of the newest conversations a title, perhaps while the engine writes one."""
        newest = list(self._titles)[-4:]
        if newest:
            conversation_id = self._rng.choice(newest)
            self._given_titles[conversation_id] = f"Mine {len(self._given_titles)}"
            conversation = db.session.get_one(Conversation, conversation_id, populate_existing=True)
            conversations.rename(conversation, self._given_titles[conversation_id])

    def _write(self, number: int) -> None:
        """Let an engine write, though its runner may be frozen before it takes that."""
        self._runners[number].engine.write(self._rng.randint(1, 8))

    def _save(self, number: int) -> None:
        """Let a runner do the first part of a tick, after whatever has happened since its last one."""
        self._runners[number].save()

    def _write_and_save(self, number: int) -> None:
        """Let an engine write, and its runner store that."""
        self._write(number)
        self._save(number)

    def _compare(self, number: int) -> None:
        """Let a runner do the second part of a tick."""
        self._runners[number].compare()

    def _claim(self, number: int) -> None:
        """Let a runner do the third part: perhaps long after the second."""
        self._runners[number].claim()

    def _tick(self, number: int) -> None:
        """Let a runner do all of it."""
        self._runners[number].tick()

    def _pass_time(self, _number: int) -> None:
        """Let time pass. A runner that is not moved meanwhile is frozen."""
        self._clock.pass_seconds(self._rng.choice([LEASE / 8, LEASE * 1.5, LEASE * 3]))

    def _set_clock(self, _number: int) -> None:
        """Set the clock."""
        self._clock.set_by(self._rng.choice([-3600.0, -LEASE, LEASE * 2, 3600.0]))

    def _kill(self, number: int) -> None:
        """Kill a runner, and start another one."""
        self._runners[number] = SteppedRunner(self._app, self._clock)

    def _restart(self, number: int) -> None:
        """End a runner in order, and start another one."""
        self._runners[number].end()
        self._runners[number] = SteppedRunner(self._app, self._clock)

    def _lose_connection(self, number: int) -> None:
        """Break the connection during a write, while the engine writes on."""
        self._write(number)
        name = self._rng.choice(["claim", "heartbeat", "heartbeat"])
        is_stored = self._rng.random() < 0.5
        with broken_connection(name, is_stored):
            self._runners[number].tick()
        with broken_connection(self._rng.choice(["claim", "finish"]), is_stored, title_requests):
            self._runners[number].tick()
        self._write(number)

    def _rob(self, number: int) -> None:
        """Freeze a runner while another one takes its work, writes at it, and hands it back; then let it claim."""
        self._clock.pass_seconds(LEASE * 1.5)
        thief = SteppedRunner(self._app, self._clock)
        thief.claim()
        thief.engine.write(3)
        self._clock.pass_seconds(LEASE / 8)
        if self._rng.random() < 0.7:
            thief.end()
        else:
            thief.save()
            self._clock.pass_seconds(LEASE * 1.5)
        self._runners[number].engine.write(2)
        self._runners[number].claim()

    def _stop(self, _number: int) -> None:
        """Stop one of the newest answers."""
        newest = list(self._expected)[-4:]
        if newest:
            generation_id = self._rng.choice(newest)
            message_id = db.session.scalar(select(Generation.message_id).where(Generation.id == generation_id))
            generations.stop(db.session.get_one(Message, message_id))
            self._stopped.add(generation_id)

    def _check_texts(self) -> None:
        """Nothing is ever stored that is not a beginning of the right text."""
        db.session.rollback()
        running = db.session.scalars(select(Generation.id).where(Generation.status == Status.GENERATING)).all()
        for generation_id in {*running, *self._running}:
            stored, text = stored_text(generation_id), self._expected[generation_id]
            assert text.startswith(stored), f"{stored!r} is no beginning of {text!r}"
        self._running = running

    def _drain(self) -> None:
        """One runner is left, and writes everything to its end."""
        last = self._runners[0]
        drain(last, self._clock, self._is_over, LEASE)
        for generation_id, text in self._expected.items():
            status = db.session.scalar(select(Generation.status).where(Generation.id == generation_id))
            right = {Status.DONE, Status.STOPPED} if generation_id in self._stopped else {Status.DONE}
            assert status in right, f"{generation_id} is {status}"
            if status is Status.DONE:
                assert stored_text(generation_id) == text
        last.end()
        self._check_titles()

    def _check_titles(self) -> None:
        """No title of a person is lost, all others are the engine's, and nothing of it is left."""
        answers = select(Generation.status, Message.conversation_id).join(Message)
        done_ids = {row.conversation_id for row in db.session.execute(answers) if row.status is Status.DONE}
        for conversation_id, title in self._titles.items():
            right = self._given_titles.get(conversation_id) or (title if conversation_id in done_ids else "x")
            assert db.session.get_one(Conversation, conversation_id, populate_existing=True).title == right
        assert not title_requests.has_work()
        assert db.session.scalars(select(TitleRequest.lease_owner)).unique().all() in ([], [None])

    def _is_over(self) -> bool:
        db.session.rollback()
        in_progress = select(Generation.id).where(Generation.status.in_(IN_PROGRESS)).limit(1)
        return db.session.scalar(in_progress) is None and not title_requests.has_work()


@pytest.mark.parametrize("walks", [4, pytest.param(300, marks=pytest.mark.exhaustive)])
@pytest.mark.timeout(1800)
def test_frozen_dead_and_robbed_runners_write_right_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, walks: int
) -> None:
    app = make_app(tmp_path, LEASE_SECONDS=LEASE, MAX_ATTEMPTS=1000)
    with fake_clock(monkeypatch) as clock, app.app_context():
        for seed in range(walks):
            walk = LeaseWalk(app, clock, seed)
            try:
                walk.walk()
            except AssertionError as error:
                raise AssertionError(f"seed {seed}: {error}\n" + ", ".join(walk.taken)) from error
        db.session.remove()
    close_app(app)
