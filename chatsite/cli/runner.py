"""One runner in a process of its own: the place where the loop, the settings and an engine are joined."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Mapping
from typing import Any, NoReturn

from chatsite import create_app
from chatsite.cli.parent import when_gone
from chatsite.cli.setup import entry_of
from chatsite.engine import Engine, memory
from chatsite.engine.catalogue import AUTO, PREFERRED, Entry, resolve
from chatsite.engine.local import build, estimate
from chatsite.engine.member import Outbox
from chatsite.engine.shelf import Shelf
from chatsite.engine.turns import Turns
from chatsite.errors import ModelUnavailableError
from chatsite.runner.library import Library
from chatsite.runner.loop import Runner
from chatsite.runner.pulling import fetch, settings_of

NICENESS = 5


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
        when_gone(parent, stop.set, stop)
    app = create_app({"SQLITE_SYNCHRONOUS": "NORMAL"})
    engine = shelf(app.config)
    asked = Runner(app, engine, stop, Library(app.config, engine)).run()
    _leave(0 if asked else 1)


def shelf(config: Mapping[str, Any]) -> Shelf:
    """The empty shelf for an app's models. Raises ConfigError when the setting MODEL names none."""
    models, own, precision = config["MODELS"], config["MODELS_FILE"], config["PRECISION"]
    chosen = entry_of(config)
    budget = config["MODEL_MEMORY_MB"] * 1_000_000 or memory.machine() // 2
    turns, settings = Turns(), settings_of(config)

    def make(entry: Entry, outbox: Outbox) -> Engine:
        return build(
            entry,
            models,
            threads=config["ENGINE_THREADS"] or None,
            precision=precision,
            tokens_per_second=config["SCRIPTED_TOKENS_PER_SECOND"],
            outbox=outbox,
            turns=turns,
            fetch=lambda name, report: fetch(name, report, settings),
        )

    return Shelf(
        [*_preferred(config, budget), chosen],
        find=lambda name: chosen if name == chosen.name else resolve(name, own),
        build=make,
        estimate=lambda entry: estimate(entry, models, precision),
        budget=budget,
    )


def _preferred(config: Mapping[str, Any], budget: int) -> list[Entry]:
    """The model that `auto` means where it is here and finds room."""
    entry = resolve(PREFERRED)
    try:
        fits = estimate(entry, config["MODELS"], config["PRECISION"]) <= budget
    except ModelUnavailableError:
        return []
    return [entry] if config["MODEL"] == AUTO and fits else []


def _leave(status: int) -> NoReturn:
    """End now: everything is stored, and a thread that still loads a model would hold up an orderly exit."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
