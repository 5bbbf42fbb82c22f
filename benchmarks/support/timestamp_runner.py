"""A runner whose tokens say when they were made: `python -m benchmarks.support.timestamp_runner`, with the settings of
the site.

The question `/stamps RATE SECONDS` is answered with RATE time stamps a second, each a paragraph of its own.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator

from chatsite import create_app
from chatsite.engine.scripted import ScriptedEngine, build_report
from chatsite.engine.types import Delta, Event, Finish, FinishReason, Request, Started
from chatsite.runner.loop import Runner


class TimestampEngine(ScriptedEngine):
    """Writes time stamps to a thousand requests at once."""

    capacity = 1000

    def submit(self, request: Request) -> None:
        """Take up a request."""
        self._outbox.put(Started(request.id, build_report(request)))
        with self._lock:
            self._running_answers[request.id] = _TimestampAnswer(request)  # type: ignore[assignment]


class _TimestampAnswer:
    """One answer made of stamps."""

    def __init__(self, request: Request) -> None:
        _, rate, seconds = request.turns[-1].text.split()
        self._request_id = request.id
        self._interval_seconds = 1 / float(rate)
        # Answers that are written at the same time do not all go on at the same instant.
        self._next_at = time.monotonic() + (request.id * 0.618 % 1) * self._interval_seconds
        self._end_at = time.monotonic() + float(seconds)
        self.is_finished = False

    def due_events(self, now: float) -> Iterator[Event]:
        """What is due by `now`, on the monotonic clock in seconds."""
        if now >= self._next_at:
            self._next_at += self._interval_seconds
            yield Delta(self._request_id, f"at{time.time_ns()}z\n\n", 1)
        if now >= self._end_at:
            self.is_finished = True
            yield Finish(self._request_id, FinishReason.END)


def main() -> None:
    """Write stamps until asked to stop."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    Runner(create_app({"SQLITE_SYNCHRONOUS": "NORMAL"}), TimestampEngine(), stop).run()


if __name__ == "__main__":
    main()
