"""Detection of suspended processes and changed clocks, after which expired leases prove nothing for a while.

A sleeping laptop, a paused virtual machine or a starved process stops everything on the machine. The process that
continues first finds all other leases and heartbeats expired, although their owners are about to continue too.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class ClockWatch:
    """Compares the system clock with the beats of its owner.

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
        """Record that the owner is running. To be called at least every `max_gap_seconds`."""
        now = self._wall_clock()
        if self._last_beat is not None and abs(now - self._last_beat) > self._max_gap_seconds:
            self._quiet_until = self._steady_clock() + self._quiet_seconds
        self._last_beat = now

    @property
    def may_judge(self) -> bool:
        """Whether an expired lease or heartbeat may be taken for the death of its owner."""
        self.beat()
        return self._steady_clock() >= self._quiet_until
