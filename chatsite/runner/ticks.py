"""The ticks of a runner: how long it gathers the events of the engine before it stores them.

A fixed length bounds the transactions per second, however many answers and tokens there are. A tick ends early for what
somebody waits for, as the first words of an answer: at most one in the length of a tick does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from chatsite.engine.types import Engine, Event

# Whoever looks for each event by itself takes the processor from those who read them off the network.
LOOK_SECONDS = 0.01


class Ticks:
    """Gathers the events of `engine` in ticks of `seconds`, until `stop` is set.

    `take_events` is given them, and returns whether somebody waits for one of them.
    """

    def __init__(
        self, engine: Engine, seconds: float, *, stop: threading.Event, take_events: Callable[[Iterable[Event]], bool]
    ) -> None:
        self._engine = engine
        self._seconds = seconds
        self._stop = stop
        self._take_events = take_events
        self._next_early_at = 0.0

    def gather(self, has_news: Callable[[], bool]) -> None:
        """Take events until the tick is over; early for one that somebody waits for, or if there is other news."""
        end = time.monotonic() + self._seconds
        is_awaited = False
        while (remaining_seconds := end - time.monotonic()) > 0 and not self._stop.is_set():
            events = self._engine.poll_events(min(remaining_seconds, LOOK_SECONDS))
            is_awaited = self._take_events(events) or is_awaited or has_news()
            if is_awaited and time.monotonic() >= self._next_early_at:
                self._next_early_at = time.monotonic() + self._seconds
                return
            if events:
                self._stop.wait(max(0.0, min(LOOK_SECONDS, end - time.monotonic())))
