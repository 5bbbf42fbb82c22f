"""A lock that is fair: threads get it in the order in which they asked."""

from __future__ import annotations

import threading
from collections import deque


class Turns:
    """Held by one thread at a time. One that gives it back and asks again comes after those who wait.

    With `threading.Lock` a thread that is quick to ask again would leave none to the others.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._held = False
        self._waiting: deque[threading.Lock] = deque()

    def __enter__(self) -> None:
        with self._guard:
            if not self._held:
                self._held = True
                return
            gate = threading.Lock()
            gate.acquire()
            self._waiting.append(gate)
        gate.acquire()

    def __exit__(self, *error: object) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._held = False
