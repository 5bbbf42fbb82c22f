"""Generation watcher: one thread in each web worker that polls the database for all event streams.

A stream waits here without a database session. The thread sleeps while no stream waits. Otherwise it queries the
generations every QUERY_SECONDS at most. On SQLite, where one PRAGMA tells whether anything was written at all, it looks
every LOOK_SECONDS and queries only then.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
from flask import Flask

from chatsite.database import ChangeDetector, db
from chatsite.services.chat import generation_progress
from chatsite.services.chat.generation_progress import GenerationSnapshot

log = structlog.get_logger()

# Half a tick of the streams, so that queries add little to the delay of a token.
QUERY_SECONDS = 0.05
# The first words after a silence are waited for most.
LOOK_SECONDS = 0.01
# Queue positions and speeds change without a write to the followed generations, so they are read again this often.
REFRESH_SECONDS = 0.5
# Each failed poll is a line in the log, and a database that is away stays away for seconds.
FAILED_POLL_SECONDS = 1.0


class GenerationWatcher:
    """The generations that streams of this worker follow, kept up to date by one thread.

    Stream threads call `watch_generation` and `wait_for_change`; all other methods run in the thread of the watcher.
    """

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._has_watched = threading.Condition(self._lock)
        self._watched: dict[int, _WatchedGeneration] = {}
        self._thread: threading.Thread | None = None
        self._database_watch = ChangeDetector()
        self._has_new_reader = False
        self._refreshed_at = 0.0

    @contextmanager
    def watch_generation(self, generation_id: int) -> Iterator[None]:
        """Follow a generation while the `with` block runs."""
        with self._lock:
            if generation_id not in self._watched:
                self._watched[generation_id] = _WatchedGeneration(self._lock)
            self._watched[generation_id].readers += 1
            self._has_new_reader = True
            # Started here and not in `init_app`: threads do not survive the fork of gunicorn's master.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run_forever, name="generation_watcher", daemon=True)
                self._thread.start()
            self._has_watched.notify()
        try:
            yield
        finally:
            with self._lock:
                watched = self._watched[generation_id]
                watched.readers -= 1
                if not watched.readers:
                    del self._watched[generation_id]

    def wait_for_change(
        self,
        generation_id: int,
        seen_version: int,
        seconds: float,
        *,
        is_enough: Callable[[GenerationSnapshot], bool] = lambda snapshot: True,
    ) -> tuple[int, GenerationSnapshot | None, bool]:
        """Wait until a watched generation is newer than `seen_version` and its snapshot `is_enough`, at most `seconds`.

        Returns the version, the snapshot with all text so far (None before the first poll), and whether the generation
        was deleted. Raises KeyError outside of `watch_generation`.
        """
        with self._lock:
            watched = self._watched[generation_id]
            watched.changed.wait_for(lambda: watched.is_newer(seen_version, is_enough), timeout=seconds)
            return watched.version, watched.snapshot, watched.is_gone

    def _run_forever(self) -> None:
        while True:
            with self._has_watched:
                self._has_watched.wait_for(lambda: self._watched)
            has_queried = True
            try:
                with self._app.app_context():
                    has_queried = self._poll_database()
            except Exception as error:
                # A database that is busy or unreachable for a moment must not end all streams of this worker.
                log.warning("generation_watcher_poll_failed", error=type(error).__name__)
                time.sleep(FAILED_POLL_SECONDS)
            time.sleep(QUERY_SECONDS if has_queried else LOOK_SECONDS)

    def _poll_database(self) -> bool:
        """Query the generations and wake those who wait, if that is due; return whether it was."""
        if not self._is_due():
            return False
        with self._lock:
            pending = {key: watched for key, watched in self._watched.items() if not watched.is_over}
            known_sequences = {key: watched.last_seq for key, watched in pending.items()}
        # Without the lock: a slow query must not block the streams.
        snapshots_by_id = {snapshot.id: snapshot for snapshot in generation_progress.take_snapshots(known_sequences)}
        db.session.remove()
        with self._lock:
            for key, watched in pending.items():
                # The last reader may have left and a new one come during the query. The new entry has no text yet, so a
                # snapshot with only the newest chunks would leave a hole in it.
                if self._watched.get(key) is watched:
                    watched.apply_snapshot(snapshots_by_id.get(key))
        return True

    def _is_due(self) -> bool:
        """Return whether to query the generations now.

        That is the case after a write to the database, for a new reader, and when queue positions and speeds are older
        than REFRESH_SECONDS.
        """
        has_changed = self._database_watch.has_changed()
        if not (has_changed or self._has_new_reader or time.monotonic() - self._refreshed_at > REFRESH_SECONDS):
            return False
        self._has_new_reader = False
        self._refreshed_at = time.monotonic()
        return True


class _WatchedGeneration:
    """The last known state of one generation, with the number of its readers.

    Each generation has its own condition: waking all streams of the worker for every change would cost more than
    rendering the events.
    """

    def __init__(self, lock: threading.Lock) -> None:
        self.changed = threading.Condition(lock)
        self.readers = 0
        self.version = 0
        self.last_seq = 0
        self.snapshot: GenerationSnapshot | None = None
        self.is_gone = False
        self._notified_at = 0.0

    @property
    def is_over(self) -> bool:
        return self.is_gone or (self.snapshot is not None and not self.snapshot.is_in_progress)

    def is_newer(self, seen_version: int, is_enough: Callable[[GenerationSnapshot], bool]) -> bool:
        """Return whether there is something newer that `is_enough`; that it was deleted always is."""
        return self.version != seen_version and (self.is_gone or self.snapshot is None or is_enough(self.snapshot))

    def apply_snapshot(self, snapshot: GenerationSnapshot | None) -> None:
        """Store the current state and wake the readers. None means that the generation was deleted."""
        if snapshot is None:
            self.is_gone = True
        else:
            # A snapshot contains only the chunks after `last_seq`; readers need all text, to start at any block.
            merged = snapshot.merged_with(self.snapshot) if self.snapshot else snapshot
            if not self._is_worth_sending(merged):
                return
            self.snapshot, self.last_seq = merged, snapshot.last_seq
        self._notified_at = time.monotonic()
        self.version += 1
        self.changed.notify_all()

    def _is_worth_sending(self, snapshot: GenerationSnapshot) -> bool:
        """Return whether to wake the readers for `snapshot`.

        Elapsed seconds and speeds differ in every snapshot; alone they are sent only every REFRESH_SECONDS.
        """
        if self.snapshot is None or time.monotonic() - self._notified_at > REFRESH_SECONDS:
            return snapshot != self.snapshot
        return _comparable_state(snapshot) != _comparable_state(self.snapshot)


def _comparable_state(snapshot: GenerationSnapshot) -> tuple[object, ...]:
    return snapshot.status, snapshot.last_seq, snapshot.queue_position, snapshot.token_count


def init_app(app: Flask) -> None:
    """Create the watcher of the app. Its thread starts with the first stream, after gunicorn has forked."""
    app.extensions["generation_watcher"] = GenerationWatcher(app)
