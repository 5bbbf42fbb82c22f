"""A lock that is fair: threads get it in the order in which they asked."""

from __future__ import annotations

import threading
from collections import deque


class FairLock:
    """A lock that is held by one thread at a time, in the order in which threads asked for it.

    A thread that releases it and asks again comes after those who wait. With `threading.Lock` a thread that is quick to
    ask again would leave none to the others.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._is_held = False
        self._waiters: deque[threading.Lock] = deque()

    def __enter__(self) -> None:
        with self._guard:
            if not self._is_held:
                self._is_held = True
                return
            waiter = threading.Lock()
            waiter.acquire()
            self._waiters.append(waiter)
        waiter.acquire()

    def __exit__(self, *error: object) -> None:
        with self._guard:
            if self._waiters:
                self._waiters.popleft().release()
            else:
                self._is_held = False
