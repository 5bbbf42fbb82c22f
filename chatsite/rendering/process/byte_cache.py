"""A cache that is bounded by the memory that its values take."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Generic, TypeVar

V = TypeVar("V")


class ByteCache(Generic[V]):
    """Keeps the values that were used last, as long as their sizes add up to at most `max_bytes`. Safe for threads."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[bytes, tuple[V, int]] = OrderedDict()
        self._lock = threading.Lock()
        self.total_bytes = 0

    def get(self, key: bytes) -> V | None:
        """Return the value of `key`, or None if it is not kept."""
        with self._lock:
            if key not in self._entries:
                return None
            self._entries.move_to_end(key)
            return self._entries[key][0]

    def put(self, key: bytes, value: V, size: int) -> None:
        """Keep a value of `size` bytes; the least recently used ones give way. One that is too large is not kept."""
        if size > self._max_bytes:
            return
        with self._lock:
            _, old_size = self._entries.pop(key, (None, 0))
            self._entries[key] = value, size
            self.total_bytes += size - old_size
            while self.total_bytes > self._max_bytes:
                _, (_, dropped_size) = self._entries.popitem(last=False)
                self.total_bytes -= dropped_size
