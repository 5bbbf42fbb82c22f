"""The runner's broom: it takes away what nobody can have back, a little at a time, between two ticks."""

from __future__ import annotations

import time
from collections.abc import Callable

from chatsite.services import temporary, trash, undos

PAUSE_SECONDS = 30.0
# Where much is to go, the next piece goes soon, and answers are written in between.
BREATH_SECONDS = 1.0

# Each takes a short write and says whether there is more for it to do.
CHORES: tuple[Callable[[], bool], ...] = (temporary.sweep, trash.sweep, undos.sweep)


class Sweeper:
    """Does the chores twice a minute; one that was not finished is gone on with after a second."""

    def __init__(self, chores: tuple[Callable[[], bool], ...] = CHORES) -> None:
        self._due = dict.fromkeys(chores, 0.0)

    def tend(self) -> None:
        """Do the chores that are due. Needs an app context."""
        for chore, moment in self._due.items():
            if time.monotonic() >= moment:
                # Said first, so that one that fails is not tried again in the next tick.
                self._due[chore] = time.monotonic() + PAUSE_SECONDS
                if chore():
                    self._due[chore] = time.monotonic() + BREATH_SECONDS
