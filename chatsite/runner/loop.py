"""The runner's loop: claim, write down what the engine says, hand back.

One thread does all of it, in ticks. Whatever the engine said of all running answers goes to the database in one
transaction a tick; when nothing was said, only the leases are renewed, and only when it is time to.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import structlog
from flask import Flask

from chatsite.database import Watch, db
from chatsite.engine import (
    Delta,
    Draft,
    Engine,
    Event,
    Finish,
    FinishReason,
    Options,
    Preset,
    Progress,
    Request,
    Started,
    Turn,
)
from chatsite.errors import ChatsiteError
from chatsite.models import RunnerState, Status
from chatsite.runner.importing import Importing
from chatsite.runner.library import Library
from chatsite.runner.receipts import compact
from chatsite.runner.sweeper import Sweeper
from chatsite.services import claims, runners
from chatsite.services.claims import Claim, Written
from chatsite.services.settings import NUMBERS

log = structlog.get_logger()

BEATS_PER_LEASE = 4
LONGEST_PAUSE = 2.0
# A lease that runs out is no commit, so even a database where nothing happens is looked at now and then.
LONGEST_BLINDNESS = 0.5
FIRST_RETRY_SECONDS = 5.0
LAST_RETRY_SECONDS = 300.0

STATUS_OF = {
    FinishReason.END: Status.DONE,
    FinishReason.LENGTH: Status.DONE,
    FinishReason.DEADLINE: Status.DONE,
    FinishReason.CANCELLED: Status.STOPPED,
    FinishReason.ERROR: Status.FAILED,
}


class Runner:
    """Writes answers until `stop` is set.

    `app` gives the settings and the database. The engine is loaded in a thread of its own, so that the heartbeat says
    how far it is meanwhile.
    """

    def __init__(self, app: Flask, engine: Engine, stop: threading.Event, library: Library | None = None) -> None:
        self.owner = secrets.token_hex(8)
        self._app = app
        self._engine = engine
        self._stop = stop
        self._library = library
        self._tick = app.config["TICK_MS"] / 1000
        self._lease: float = app.config["LEASE_SECONDS"]
        self._attempts: int = app.config["ATTEMPTS"]
        self._options = Options(max_new_tokens=app.config["ANSWER_TOKENS"], seconds=app.config["ANSWER_SECONDS"])
        self._news: dict[int, Written] = {}
        self._turns: dict[int, tuple[Turn, ...]] = {}
        self._cancelled: set[int] = set()
        self._next_write = 0.0
        self._next_beat = 0.0
        self._next_look = 0.0
        self._watch = Watch()
        self._sweeper = Sweeper()
        self._importing = Importing(app.config)

    def run(self) -> bool:
        """Load the model and write answers; returns whether it ended because it was asked to."""
        log.info("runner_started", owner=self.owner, model=self._engine.model)
        loaded = self._load()
        try:
            while loaded and not self._stop.is_set():
                self._in_context(self._step)
        finally:
            # The work goes back before the engine ends, which may take a step of the model.
            self._in_context(self._leave)
            self._engine.close()
            log.info("runner_ended", owner=self.owner)
        return self._stop.is_set()

    def _load(self) -> bool:
        """Load the model, after a while once more when it cannot be had; returns whether it can be used."""
        pause = FIRST_RETRY_SECONDS
        while not self._stop.is_set():
            loading = self._load_once()
            if loading.error is None:
                return loading.over.is_set()
            log.error("load_failed", reason=loading.error, again_in=pause)
            self._await_retry(loading.error, pause)
            pause = min(2 * pause, LAST_RETRY_SECONDS)
        return False

    def _load_once(self) -> _Loading:
        """Try to load the model while the heart beats; returns early when the runner is asked to stop."""
        loading = _Loading(self._engine)
        while not loading.over.wait(min(0.25, self._lease / BEATS_PER_LEASE)) and not self._stop.is_set():
            state = RunnerState.FETCHING if loading.progress.stage == "fetching" else RunnerState.LOADING
            self._in_context(lambda state=state: self._beat(state, loading.progress.part))  # type: ignore[misc]
            self._in_context(self._tend)
        return loading

    def _await_retry(self, reason: str, seconds: float) -> None:
        """Keep the reason visible for that long: somebody may mend it, or the network may come back."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self._stop.is_set():
            self._in_context(lambda: self._beat(RunnerState.FAILED, reason=reason))
            self._in_context(self._tend)
            self._stop.wait(min(self._lease / BEATS_PER_LEASE, seconds))

    def _step(self) -> None:
        """One tick: listen to the engine for that long, then write everything at once."""
        end = time.monotonic() + self._tick
        while (left := end - time.monotonic()) > 0 and not self._stop.is_set():
            for event in self._engine.events(left):
                self._take(event)
        self._write()
        if self._watch.changed() or time.monotonic() > self._next_look:
            self._next_look = time.monotonic() + LONGEST_BLINDNESS
            self._obey()
            self._claim()
        self._beat(RunnerState.READY)
        self._tend(ready=True)

    def _tend(self, ready: bool = False) -> None:
        if self._library:
            self._library.tend(ready)
        self._sweeper.tend()
        self._importing.tend()

    def _take(self, event: Event) -> None:
        """Note what the engine says of an answer; what it says of one that is ours no longer is dropped."""
        news = self._news.get(event.request_id)
        if news is None:
            return
        if isinstance(event, Started):
            news.receipt = compact(event.receipt, self._turns.get(event.request_id, ()))
        elif isinstance(event, Delta):
            news.text += event.text
            news.tokens += event.tokens
        elif isinstance(event, Draft):
            news.text, news.draft = event.text, True
            news.tokens += event.tokens
        elif isinstance(event, Finish):
            self._over(news, event)

    def _over(self, news: Written, finish: Finish) -> None:
        news.status, news.reason, news.error = STATUS_OF[finish.reason], finish.reason.value, finish.error
        if finish.error:
            log.error("generation_failed", generation=finish.request_id, error=finish.error)

    def _write(self) -> None:
        """Store what is new, or renew the leases when it is time to."""
        news = {key: written for key, written in self._news.items() if not written.empty}
        if not news and (not self._news or time.monotonic() < self._next_write):
            return
        lost = claims.record(self.owner, news, self._lease)
        self._next_write = time.monotonic() + self._lease / BEATS_PER_LEASE
        for key, written in news.items():
            if written.status or key in lost:
                self._drop(key, cancel=key in lost)
                log.info("generation_ended", generation=key, status=written.status, reason=written.reason)
            else:
                self._news[key] = Written(attempt=written.attempt)

    def _obey(self) -> None:
        """Stop what a visitor stopped, and forget what was deleted."""
        if not self._news:
            return
        standing = claims.standing(self.owner)
        for key in list(self._news):
            if key not in standing:
                self._drop(key, cancel=True)
            elif standing[key] and key not in self._cancelled:
                self._cancelled.add(key)
                self._engine.cancel(key)

    def _drop(self, key: int, cancel: bool) -> None:
        if cancel:
            self._engine.cancel(key)
        self._news.pop(key, None)
        self._turns.pop(key, None)
        self._cancelled.discard(key)

    def _claim(self) -> None:
        room = self._engine.capacity - len(self._news)
        if room <= 0 or not claims.waiting():
            return
        for claim in claims.claim(self.owner, room, self._lease, self._attempts):
            self._news[claim.generation_id] = Written(attempt=claim.attempt)
            self._turns[claim.generation_id] = claim.turns
            self._engine.submit(self._request(claim))
            log.info("generation_claimed", generation=claim.generation_id, attempt=claim.attempt)

    def _request(self, claim: Claim) -> Request:
        wishes: dict[str, Any] = {name: value for name, value in claim.numbers.items() if name in NUMBERS}
        most = min(self._options.max_new_tokens, wishes.get("max_new_tokens", self._options.max_new_tokens))
        wishes["max_new_tokens"] = max(1, most - claim.tokens)
        # A seed that an earlier attempt drew with goes on drawing what it would have drawn.
        wishes["seed"] = wishes.get("seed") if claim.seed is None else claim.seed
        return Request(
            id=claim.generation_id,
            turns=claim.turns,
            prefix=claim.prefix,
            options=replace(self._options, preset=_preset(claim), **wishes),
            persona=claim.instructions,
            model=claim.model or "",
        )

    def _beat(self, state: RunnerState, progress: float | None = None, reason: str | None = None) -> None:
        if state is RunnerState.READY and time.monotonic() < self._next_beat:
            return
        runners.beat(self.owner, self._engine.model, state, progress, reason)
        self._next_beat = time.monotonic() + self._lease / BEATS_PER_LEASE

    def _leave(self) -> None:
        """Store what is left and hand back what is not finished, so that another runner goes on with it at once.

        A runner that ends because something broke hands nothing back: its leases run out, and that death counts.
        """
        unwritten = {key: written for key, written in self._news.items() if not written.empty}
        claims.record(self.owner, unwritten, self._lease)
        if self._stop.is_set():
            claims.release(self.owner)
        runners.farewell(self.owner)
        if self._library:
            self._library.close()
        self._importing.close()
        self._watch.close()

    def _in_context(self, work: Callable[[], None]) -> None:
        """Do some work with a database session of its own; a database that is busy or full is waited for."""
        with self._app.app_context():
            try:
                work()
            except ChatsiteError as error:
                log.warning("runner_waits", reason=type(error).__name__)
                self._stop.wait(min(LONGEST_PAUSE, self._lease / BEATS_PER_LEASE))
            finally:
                db.session.remove()


def _preset(claim: Claim) -> Preset | None:
    """The preset that was chosen; one that a later version stored and this one does not know counts as none."""
    return Preset(claim.preset) if claim.preset in list(Preset) else None


class _Loading:
    """The loading of an engine, in a thread."""

    def __init__(self, engine: Engine) -> None:
        self.progress = Progress("loading")
        self.error: str | None = None
        self.over = threading.Event()
        self._engine = engine
        threading.Thread(target=self._load, name="load", daemon=True).start()

    def _load(self) -> None:
        try:
            self._engine.load(self._report)
        except ChatsiteError as error:
            self.error = str(error)
        except Exception as error:
            log.exception("load_broke")
            self.error = f"{type(error).__name__}: {error}"
        finally:
            self.over.set()

    def _report(self, progress: Progress) -> None:
        self.progress = progress
