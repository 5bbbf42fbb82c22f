"""One runner in a process of its own: the place where the loop, the settings and an engine are joined."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import NoReturn

from flask import Flask

from chatsite import create_app
from chatsite.cli.models import entry_of
from chatsite.engine import Engine
from chatsite.engine.local import build
from chatsite.runner.loop import Runner

NICENESS = 5
WATCH_SECONDS = 0.2


def run(parent: int = 0) -> NoReturn:
    """Write answers until asked to stop, or until `parent` is no longer the parent process; then exit.

    The exit status is 0 when it was asked to. Raises ConfigError when a setting cannot be used.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    # Bars for people make no sense in a log.
    os.environ.setdefault("TQDM_DISABLE", "1")
    # The model takes all the processors it can get; the pages come first.
    os.nice(NICENESS)
    if parent:
        threading.Thread(target=_watch, args=(parent, stop), name="parent", daemon=True).start()
    app = create_app({"SQLITE_SYNCHRONOUS": "NORMAL"})
    asked = Runner(app, engine(app), stop).run()
    _leave(0 if asked else 1)


def engine(app: Flask) -> Engine:
    """The engine of the model that is set. Raises ConfigError when there is no such model."""
    config = app.config
    entry_of(config["MODEL"])
    return build(
        config["MODEL"],
        config["MODELS"],
        threads=config["ENGINE_THREADS"] or None,
        precision=config["PRECISION"],
        tokens_per_second=config["SCRIPTED_TOKENS_PER_SECOND"],
    )


def _watch(parent: int, stop: threading.Event) -> None:
    """Stop when the parent is gone, even if it was killed and could not say so."""
    while not stop.wait(WATCH_SECONDS):
        if os.getppid() != parent:
            stop.set()


def _leave(status: int) -> NoReturn:
    """End now: everything is stored, and a thread that still loads a model would hold up an orderly exit."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
