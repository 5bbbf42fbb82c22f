"""The runner process: connects the loop, the settings and the engines."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Mapping
from typing import Any, NoReturn

from sqlalchemy.exc import SQLAlchemyError

from chatsite.app import create_bare_app
from chatsite.child_process import exit_with_parent
from chatsite.database import close_connections
from chatsite.engine import memory
from chatsite.engine.catalog.catalog import (
    AUTO_MODEL,
    PREFERRED_MODEL,
    CatalogEntry,
    EndpointSource,
    resolve_entry,
)
from chatsite.engine.fair_lock import FairLock
from chatsite.engine.local import create_engine, estimate_memory
from chatsite.engine.model_pool import ModelPool
from chatsite.engine.outbox import Outbox
from chatsite.engine.types import Engine
from chatsite.errors import ChatsiteError, ModelLoadError
from chatsite.runner.download_process import build_environment, download_and_wait
from chatsite.runner.endpoint_manager import EndpointManager
from chatsite.runner.loop import Runner
from chatsite.runner.model_manager import ModelManager
from chatsite.runner.model_setting import configured_model, require_valid_file

# The engine uses all processors; web workers must still answer at once.
NICENESS = 5


def run() -> NoReturn:
    """Write answers until a signal arrives or the supervisor ends; then exit.

    The exit status is 0 after a signal or the end of the supervisor, else 1. Raises ConfigError for an invalid setting.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    # Progress bars make no sense in a log.
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.nice(NICENESS)
    exit_with_parent(stop.set, stop)
    app = create_bare_app({"SQLITE_SYNCHRONOUS": "NORMAL"})
    # Before anything else, because the message says what is wrong with the settings.
    require_valid_file(app.config)
    endpoint_manager = EndpointManager(app.config)
    with app.app_context(), contextlib.suppress(ChatsiteError, SQLAlchemyError):
        # The default model may be of an endpoint that was added; without a database it cannot be known yet.
        endpoint_manager.read_endpoints()
    engine = build_model_pool(app.config, endpoint_manager)
    model_manager = ModelManager(app.config, engine, find_configured(app.config, endpoint_manager))
    runner = Runner(app, engine, stop, model_manager=model_manager, endpoint_manager=endpoint_manager)
    was_asked = runner.run()
    close_connections(app)
    _exit_now(0 if was_asked else 1)


def find_configured(config: Mapping[str, Any], endpoint_manager: EndpointManager) -> CatalogEntry:
    """Return the model of the setting DEFAULT_MODEL, which may be of any endpoint of the site. Raises ConfigError."""
    return endpoint_manager.find_entry(config["DEFAULT_MODEL"]) or configured_model(config)


def build_model_pool(config: Mapping[str, Any], endpoint_manager: EndpointManager | None = None) -> ModelPool:
    """Build the empty model pool of an app, for models here and at endpoints.

    Raises ConfigError if the setting DEFAULT_MODEL names no model.
    """
    models_folder, custom_models_file, precision = config["MODELS"], config["CUSTOM_MODELS_FILE"], config["PRECISION"]
    endpoint_manager = endpoint_manager or EndpointManager(config)
    configured = find_configured(config, endpoint_manager)
    budget_bytes = config["MODEL_MEMORY_MB"] * 1_000_000 or memory.total_bytes() // 2
    compute_lock, environment = FairLock(), build_environment(config)

    def find_entry(name: str) -> CatalogEntry:
        remote = endpoint_manager.find_entry(name)
        return remote or (configured if name == configured.name else resolve_entry(name, custom_models_file))

    def build_engine(entry: CatalogEntry, outbox: Outbox) -> Engine:
        if isinstance(entry.source, EndpointSource):
            from chatsite.engine.remote.engine import RemoteEngine

            return RemoteEngine(entry, endpoint_manager.get_client(entry.source.endpoint), outbox)
        return create_engine(
            entry,
            models_folder,
            thread_count=config["ENGINE_THREADS"] or None,
            precision=precision,
            tokens_per_second=config["SCRIPTED_TOKENS_PER_SECOND"],
            outbox=outbox,
            step_lock=compute_lock,
            download_model=lambda name, report: download_and_wait(name, report, environment),
        )

    pool = ModelPool(
        [*_preferred_models(config, budget_bytes), configured],
        find_entry=find_entry,
        create_engine=build_engine,
        estimate_bytes=lambda entry: estimate_memory(entry, models_folder, precision),
        budget_bytes=budget_bytes,
    )
    endpoint_manager.attach(pool)
    return pool


def _preferred_models(config: Mapping[str, Any], budget_bytes: int) -> list[CatalogEntry]:
    """Return the model that `auto` prefers, if the setting is `auto` and the model fits into `budget_bytes`."""
    entry = resolve_entry(PREFERRED_MODEL)
    try:
        has_room = estimate_memory(entry, config["MODELS"], config["PRECISION"]) <= budget_bytes
    except ModelLoadError:
        return []
    return [entry] if config["DEFAULT_MODEL"] == AUTO_MODEL and has_room else []


def _exit_now(status: int) -> NoReturn:
    """End the process at once: everything is stored, and a thread that loads a model would delay an orderly exit."""
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)
