"""The queue in which engines leave their events for the runner."""

from __future__ import annotations

import queue

from chatsite.engine.types import Event

Outbox = queue.SimpleQueue[Event]


def drain_events(outbox: Outbox, timeout_seconds: float) -> list[Event]:
    """Take all events out of a queue, oldest first; wait up to `timeout_seconds` while there is none."""
    events: list[Event] = []
    try:
        events.append(outbox.get(timeout=timeout_seconds))
        while True:
            events.append(outbox.get_nowait())
    except queue.Empty:
        return events
