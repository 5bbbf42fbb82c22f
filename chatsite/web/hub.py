"""One thread a web worker watches the database for all its streams.

A stream waits here and holds no database session. The thread sleeps while nobody waits; while somebody does it looks
every 50 ms whether anything was written at all (one PRAGMA on SQLite) before it asks what.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from flask import Flask

from chatsite.database import Watch, db
from chatsite.services import changes
from chatsite.services.changes import Change

log = structlog.get_logger()

POLL_SECONDS = 0.05
REFRESH_SECONDS = 0.5


class Hub:
    """Follows the generations that somebody watches. `wait` is called by stream threads, everything else by its own."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._wanted = threading.Condition(self._lock)
        self._watched: dict[int, _Watched] = {}
        self._thread: threading.Thread | None = None
        self._watch = Watch()
        self._newcomer = False
        self._refreshed = 0.0

    @contextmanager
    def watch(self, generation_id: int) -> Iterator[None]:
        """Have a generation followed while the block runs."""
        with self._lock:
            if generation_id not in self._watched:
                self._watched[generation_id] = _Watched(self._lock)
            self._watched[generation_id].readers += 1
            self._newcomer = True
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="hub", daemon=True)
                self._thread.start()
            self._wanted.notify()
        try:
            yield
        finally:
            with self._lock:
                watched = self._watched[generation_id]
                watched.readers -= 1
                if not watched.readers:
                    del self._watched[generation_id]

    def wait(self, generation_id: int, seen: int, seconds: float) -> tuple[int, Change | None, bool]:
        """How a watched generation stands, once it is newer than version `seen` or after `seconds`.

        Returns the version, the state with all of its text so far, and whether the generation is gone.
        """
        with self._lock:
            watched = self._watched[generation_id]
            watched.changed.wait_for(lambda: watched.version != seen, timeout=seconds)
            return watched.version, watched.change, watched.gone

    def _run(self) -> None:
        while True:
            with self._wanted:
                self._wanted.wait_for(lambda: self._watched)
            try:
                with self._app.app_context():
                    self._poll()
            except Exception as error:
                # A database that is busy or away for a moment must not end all streams of this worker.
                log.warning("hub_poll_failed", error=type(error).__name__)
            time.sleep(POLL_SECONDS)

    def _poll(self) -> None:
        if not self._due():
            return
        with self._lock:
            asked = {key: watched for key, watched in self._watched.items() if not watched.over}
            known = {key: watched.seq for key, watched in asked.items()}
        news = {change.id: change for change in changes.follow(known)}
        db.session.remove()
        with self._lock:
            for key, watched in asked.items():
                # Somebody may have left and come back meanwhile: what is new to this one is not all that one lacks.
                if self._watched.get(key) is watched:
                    watched.take(news.get(key))

    def _due(self) -> bool:
        """Whether to ask again: something was written, somebody new waits, or positions and speeds have grown stale."""
        changed = self._watch.changed()
        if not (changed or self._newcomer or time.monotonic() - self._refreshed > REFRESH_SECONDS):
            return False
        self._newcomer = False
        self._refreshed = time.monotonic()
        return True


class _Watched:
    """What is known of one generation.

    It has a condition of its own: to wake all streams of the worker for each change of any of them takes more time than
    all their events.
    """

    def __init__(self, lock: threading.Lock) -> None:
        self.changed = threading.Condition(lock)
        self.readers = 0
        self.version = 0
        self.seq = 0
        self.change: Change | None = None
        self.gone = False
        self._told = 0.0

    @property
    def over(self) -> bool:
        return self.gone or (self.change is not None and not self.change.active)

    def take(self, change: Change | None) -> None:
        """Note how the generation stands now; None says that it was deleted."""
        if change is None:
            self.gone = True
        else:
            whole = change.after(self.change) if self.change else change
            if not self._is_news(whole):
                return
            self.change, self.seq = whole, change.seq
        self._told = time.monotonic()
        self.version += 1
        self.changed.notify_all()

    def _is_news(self, change: Change) -> bool:
        """Whether readers need to hear of it now. Seconds and speeds differ at every look and can wait a moment."""
        if self.change is None or time.monotonic() - self._told > REFRESH_SECONDS:
            return change != self.change
        return _facts(change) != _facts(self.change)


def _facts(change: Change) -> tuple[object, ...]:
    return change.status, change.seq, change.position, change.tokens


def init_app(app: Flask) -> None:
    """Give the app its hub; the thread starts with the first stream, after gunicorn has forked."""
    app.extensions["hub"] = Hub(app)
