"""A runner whose tokens say when they were made: `python -m benchmarks.stamps`, with the settings of the site.

The question `/stamps RATE SECONDS` is answered with RATE time stamps a second, each a paragraph of its own.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator

from chatsite import create_app
from chatsite.engine import Delta, Event, Finish, FinishReason, Request, Started
from chatsite.engine.scripted import ScriptedEngine, read
from chatsite.runner.loop import Runner


class StampEngine(ScriptedEngine):
    """Writes time stamps to a thousand requests at once."""

    capacity = 1000

    def submit(self, request: Request) -> None:
        """Take up a request."""
        self._events.put(Started(request.id, read(request)))
        with self._lock:
            self._running[request.id] = _Stamps(request)  # type: ignore[assignment]


class _Stamps:
    """One answer made of stamps."""

    def __init__(self, request: Request) -> None:
        _, rate, seconds = request.turns[-1].text.split()
        self._request_id = request.id
        self._interval = 1 / float(rate)
        # Answers that are written at the same time do not all go on at the same instant.
        self._next = time.monotonic() + (request.id * 0.618 % 1) * self._interval
        self._end = time.monotonic() + float(seconds)
        self.over = False

    def step(self, moment: float) -> Iterator[Event]:
        """What is due by `moment`, on the monotonic clock in seconds."""
        if moment >= self._next:
            self._next += self._interval
            yield Delta(self._request_id, f"at{time.time_ns()}z\n\n", 1)
        if moment >= self._end:
            self.over = True
            yield Finish(self._request_id, FinishReason.END)


def main() -> None:
    """Write stamps until asked to stop."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    Runner(create_app({"SQLITE_SYNCHRONOUS": "NORMAL"}), StampEngine(), stop).run()


if __name__ == "__main__":
    main()
