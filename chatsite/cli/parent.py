"""Ending with the process that started this one, even if that was killed and could not say so."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

WATCH_SECONDS = 0.2


def when_gone(parent: int, end: Callable[[], object], over: threading.Event | None = None) -> None:
    """Call `end` once the process `parent` is no longer this one's parent; stop looking when `over` is set."""
    pause = over or threading.Event()

    def watch() -> None:
        while not pause.wait(WATCH_SECONDS):
            if os.getppid() != parent:
                end()
                return

    threading.Thread(target=watch, name="parent", daemon=True).start()
