"""The process that imports files, started by the runner."""

from __future__ import annotations

import os
import threading

from chatsite import create_app
from chatsite.cli.parent import when_gone
from chatsite.runner.bringing import work


def run(owner: str, parent: int) -> None:
    """Import, as `owner`, every file that waits, until none does or `parent` is no longer the parent process."""
    stop = threading.Event()
    when_gone(parent, stop.set, stop)
    # Pages and answers come first.
    os.nice(10)
    app = create_app({"SQLITE_SYNCHRONOUS": "NORMAL"})
    with app.app_context():
        work(app.config, stop, owner)
    stop.set()
