"""The circuit breaker of an endpoint: after a lasting failure it is not asked for a while."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from chatsite.errors import ChatsiteError

MIN_OPEN_SECONDS = 30.0
MAX_OPEN_SECONDS = 300.0


@dataclass(frozen=True)
class Circuit:
    """An open circuit: `error` is why, or None if the server is only busy; it closes in `seconds_left` seconds."""

    error: ChatsiteError | None
    seconds_left: float


class CircuitBreaker:
    """Opens after a failure, for 30 s and then twice as long each time, up to 5 min; a success closes it.

    All methods may be called by any thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._error: ChatsiteError | None = None
        self._open_until = 0.0
        self._next_open_seconds = MIN_OPEN_SECONDS

    def find_open(self) -> Circuit | None:
        """Return the circuit if it is open."""
        with self._lock:
            seconds_left = self._open_until - time.monotonic()
            return Circuit(self._error, seconds_left) if seconds_left > 0 else None

    def note_failure(self, error: ChatsiteError) -> None:
        """Open the circuit; a failure while it is open, of an answer that began before, does not make it longer."""
        with self._lock:
            if self._error is not None and time.monotonic() < self._open_until:
                return
            self._error, self._open_until = error, time.monotonic() + self._next_open_seconds
            self._next_open_seconds = min(2 * self._next_open_seconds, MAX_OPEN_SECONDS)

    def note_busy(self, seconds: float) -> None:
        """Open the circuit without an error for as long as the server asks for, at most 5 min."""
        with self._lock:
            if time.monotonic() >= self._open_until:
                self._error, self._open_until = None, time.monotonic() + min(seconds, MAX_OPEN_SECONDS)

    def note_success(self) -> None:
        """Close the circuit."""
        with self._lock:
            self._error, self._open_until, self._next_open_seconds = None, 0.0, MIN_OPEN_SECONDS
