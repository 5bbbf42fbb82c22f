"""Notices when this process stood still, or when the clock was set: then nobody else can be called dead for a while.

A sleeping laptop, a paused virtual machine or a starved process stops everything on the machine. Whoever wakes first
finds that the leases and heartbeats of all others are over, though they are only about to wake.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class ClockWatch:
    """Compares the clock on the wall with the rhythm of its owner.

    `max_gap_seconds` is the longest time between two beats of an owner that is awake. After a longer one, and after the
    clock was set, `may_judge` is False for `quiet_seconds`, so that the others can renew their leases. `wall_clock`
    counts the time that the machine sleeps; `steady_clock` cannot be set.
    """

    def __init__(
        self,
        max_gap_seconds: float,
        quiet_seconds: float,
        *,
        wall_clock: Callable[[], float] = time.time,
        steady_clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_gap_seconds = max_gap_seconds
        self._quiet_seconds = quiet_seconds
        self._wall_clock = wall_clock
        self._steady_clock = steady_clock
        self._last_beat: float | None = None
        self._quiet_until = 0.0

    def beat(self) -> None:
        """Note that the owner is awake. To be called at least every `max_gap_seconds`."""
        now = self._wall_clock()
        if self._last_beat is not None and abs(now - self._last_beat) > self._max_gap_seconds:
            self._quiet_until = self._steady_clock() + self._quiet_seconds
        self._last_beat = now

    @property
    def may_judge(self) -> bool:
        """Whether the silence of others means that they are dead, as far as this process can tell."""
        self.beat()
        return self._steady_clock() >= self._quiet_until
