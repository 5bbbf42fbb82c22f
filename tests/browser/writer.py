"""Answers that a test writes piece by piece, so that it can look at each of them for as long as it likes.

What is to be seen while an answer is written is there until the test writes more, however slow the machine is.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flask import Flask

from chatsite import create_app
from chatsite.database import db
from chatsite.engine.scripted import CHARS_PER_TOKEN, ScriptedEngine
from chatsite.engine.types import Delta, Event, Finish, ProvisionalText, Reasoning
from chatsite.models import RunnerState, Status
from chatsite.services.chat import generation_leases, waiting_messages
from chatsite.services.chat.generation_leases import ClaimedGeneration
from chatsite.services.chat.generation_update import GenerationUpdate
from chatsite.services.chat.generations import QueueLimits
from chatsite.services.models import runners
from tests.support.served_site import ServedSite, wait_until

OWNER = "writer"
# Nobody takes an answer away from a test: this is the longest that there is.
LEASE_SECONDS = 600
SETTINGS = {
    "RUNNER": "external",
    "LEASE_SECONDS": str(LEASE_SECONDS),
    "MAX_QUEUED_PER_USER": "20",
    "LIMIT_ADDRESSES": "0",
    "MAX_MESSAGE_CHARS": "4000",
}


@dataclass
class Writer:
    """The runner of a site that has none: `begin` the oldest answer that waits, and `write` it, until it is `done`."""

    site: ServedSite
    app: Flask
    claim: ClaimedGeneration | None = None

    def begin(self) -> None:
        """Take up the oldest question, once there is one."""
        wait_until(self._take, what="The question")

    def think(self, text: str) -> None:
        """Add to what is thought before the answer."""
        tokens = -(-len(text) // CHARS_PER_TOKEN)
        self._store(reasoning=text, new_tokens=tokens, reasoning_tokens=tokens)

    def write(self, text: str, done: bool = False) -> None:
        """Add to the answer."""
        status = Status.DONE if done else None
        self._store(text=text, new_tokens=-(-len(text) // CHARS_PER_TOKEN), status=status, finish_reason="end")
        self.claim = None if done else self.claim

    def stop(self) -> None:
        """End the answer as one that was stopped."""
        self._store(status=Status.STOPPED, finish_reason="cancelled")
        self.claim = None

    def _store(self, **values: Any) -> None:
        assert self.claim, "Begin first."
        news = GenerationUpdate(self.claim.attempts, **values)
        with self._inside():
            lost = generation_leases.heartbeat(OWNER, {self.claim.generation_id: news}, LEASE_SECONDS)
        assert not lost

    def post_waiting(self) -> None:
        """Post what waited for the end of an answer."""
        with self._inside():
            waiting_messages.post_due(QueueLimits(4000, 20, 100))

    def _take(self) -> bool:
        with self._inside():
            found = generation_leases.claim(OWNER, 1, LEASE_SECONDS, max_attempts=2)
        self.claim = found[0] if found else None
        return bool(found)

    @contextmanager
    def _inside(self) -> Iterator[None]:
        with self.app.app_context():
            yield
            db.session.remove()

    def say_ready(self) -> None:
        """Tell the site that there is a model."""
        with self._inside():
            runners.heartbeat(OWNER, "scripted", RunnerState.READY)

    def leave(self) -> None:
        """Hand back what a test did not finish, and all connections."""
        with self.app.app_context():
            generation_leases.release(OWNER)
            db.session.remove()
            db.engine.dispose()


def writer_of(site: ServedSite) -> Writer:
    """The writer of a site that was started with `SETTINGS`."""
    app = create_app({"INSTANCE": site.instance, "DEFAULT_MODEL": "scripted", "LOG_LEVEL": "error"})
    made = Writer(site, app)
    made.say_ready()
    return made


class Halting(ScriptedEngine):
    """Writes about `most` tokens of each answer and halts there, until it is told to go on."""

    def __init__(self, most: int, tokens_per_second: float = 200.0) -> None:
        super().__init__(tokens_per_second)
        self._most = most
        self._written: Counter[int] = Counter()
        self._late: list[Event] = []
        self._free = threading.Event()

    def go_on(self) -> None:
        """Write all answers to their ends."""
        self._free.set()

    def poll_events(self, timeout_seconds: float) -> list[Event]:
        """What happened since the last call, but for what is to come later."""
        found, self._late = self._late + super().poll_events(timeout_seconds), []
        if self._free.is_set():
            return found
        told: list[Event] = []
        for event in found:
            # The event that reaches the limit still goes out: on a busy machine it may be the first and only one.
            halted = isinstance(event, Delta | Reasoning | ProvisionalText | Finish) and (
                self._written[event.request_id] >= self._most
            )
            if isinstance(event, Delta | Reasoning | ProvisionalText):
                self._written[event.request_id] += event.token_count
            (self._late if halted else told).append(event)
        return told
