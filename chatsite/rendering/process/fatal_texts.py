"""Unfinished texts over which the process that renders died: each one that grows from them would kill it again."""

from __future__ import annotations

import threading
from collections import deque

from chatsite.rendering.markdown import Detail

# All streams of a web worker that write such a text at the same time; others end the memory of the oldest.
MAX_TEXTS = 32


class FatalTexts:
    """The last texts that killed the process, each with the detail with which it may be tried. Safe for threads."""

    def __init__(self) -> None:
        self._texts: deque[tuple[str, Detail]] = deque(maxlen=MAX_TEXTS)
        self._lock = threading.Lock()

    def add(self, text: str, detail: Detail) -> None:
        """Remember that a text, and all that begin with it, may be tried with no more than `detail`."""
        with self._lock:
            self._texts.append((text, detail))

    def limit_detail(self, text: str, detail: Detail) -> Detail:
        """Return `detail`, or less if the text begins with one that killed the process."""
        with self._lock:
            return min([detail, *(allowed for fatal, allowed in self._texts if text.startswith(fatal))])
