"""Slots: a bound on what goes on at the same time in this web worker, in all and for each user and network."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial

from chatsite.errors import ChatsiteError


class SlotLimiter:
    """A limit of slots: `max_slots` in all, and for each owner of a kind the number in `max_per_owner`."""

    def __init__(self, max_slots: int, max_per_owner: Mapping[str, int], error: type[ChatsiteError]) -> None:
        self._max_slots = max_slots
        self._max_per_owner = max_per_owner
        self._error = error
        self._open_count = 0
        self._open_by_owner: Counter[tuple[str, object]] = Counter()
        self._lock = threading.Lock()

    @property
    def open_count(self) -> int:
        """The number of slots in use."""
        return self._open_count

    def acquire_slot(self, **owners: object) -> Callable[[], None]:
        """Reserve a slot for `owners`, which are named by their kinds, and return the function that releases it.

        An owner that is None is not counted. Raises the error of this limiter when all slots, or all of one of the
        owners, are in use.
        """
        keys = [(kind, owner) for kind, owner in owners.items() if owner is not None]
        with self._lock:
            if self._open_count >= self._max_slots:
                raise self._error
            if any(self._open_by_owner[key] >= self._max_per_owner[key[0]] for key in keys):
                raise self._error
            self._open_count += 1
            self._open_by_owner.update(keys)
        return partial(self._release_slot, keys)

    def _release_slot(self, keys: list[tuple[str, object]]) -> None:
        with self._lock:
            self._open_count -= 1
            self._open_by_owner.subtract(keys)
            # Without this the counter would keep an entry for every owner since the start of the worker.
            for key in keys:
                if not self._open_by_owner[key]:
                    del self._open_by_owner[key]
