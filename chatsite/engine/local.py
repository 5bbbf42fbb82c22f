"""The embedded engine: a model in this process, on this machine's processors.

One thread of its own does all the computing. Other threads only put requests into its queue and take events
out, so nothing here waits for the model but `load`. This module is light: torch comes with `load`.
"""

from __future__ import annotations

import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from chatsite.engine import memory
from chatsite.engine.catalog.catalog import SCRIPTED_MODEL, CatalogEntry, resolve_entry
from chatsite.engine.catalog.entry import INT8_BYTES_PER_WEIGHT
from chatsite.engine.outbox import Outbox, drain_events
from chatsite.engine.scripted import ScriptedEngine
from chatsite.engine.types import (
    Engine,
    Event,
    Finish,
    FinishReason,
    ModelStatus,
    Progress,
    ProgressCallback,
    Request,
)
from chatsite.errors import EngineDiedError, ModelLoadError, load_reasons

if TYPE_CHECKING:
    from chatsite.engine.inference.loaded_model import LoadedModel
    from chatsite.engine.inference.scheduler import Scheduler

DownloadModel = Callable[[str, ProgressCallback], None]

CLOSE_TIMEOUT_SECONDS = 10.0
# What a weight takes at most: in eight bits beside the floats that prompts are read in, where that is to be had.
MAX_INT8_BYTES_PER_WEIGHT, MAX_FP32_BYTES_PER_WEIGHT = 3.0, 4.0


def create_engine(  # noqa: PLR0913 What a site can set of an engine, all by name.
    entry: CatalogEntry,
    models_dir: Path,
    *,
    thread_count: int | None = None,
    precision: str = "auto",
    tokens_per_second: float = 40.0,
    outbox: Outbox | None = None,
    step_lock: AbstractContextManager[object] | None = None,
    download_model: DownloadModel | None = None,
) -> Engine:
    """Create the engine of a model, without loading it.

    `models_dir` is the folder of converted weights, `thread_count` the number of processor threads (None: all),
    `precision` what is computed in (`auto`, `fp32`, `bf16`, `int8`). `tokens_per_second` is the pace of the scripted
    engine. Engines may share an `outbox` for their events, and `step_lock`, which each holds during a step.
    `download_model` replaces this process's own way to bring missing weights here.
    """
    if entry.name == SCRIPTED_MODEL:
        return ScriptedEngine(tokens_per_second, outbox)
    return LocalEngine(
        entry,
        models_dir,
        thread_count=thread_count,
        precision=precision,
        outbox=outbox,
        step_lock=step_lock,
        download_model=download_model,
    )


class LocalEngine:
    """Answers with a model of the catalog or of a folder, many requests at once if the model allows it.

    `cache_budget_bytes` is the memory for the keys and values of all running answers. Raises ModelLoadError if `model`
    is a name that means nothing.
    """

    def __init__(  # noqa: PLR0913 As `create_engine`.
        self,
        model: str | CatalogEntry,
        models_dir: Path,
        *,
        thread_count: int | None = None,
        precision: str = "auto",
        cache_budget_bytes: int | None = None,
        outbox: Outbox | None = None,
        step_lock: AbstractContextManager[object] | None = None,
        download_model: DownloadModel | None = None,
    ) -> None:
        self._entry = model if isinstance(model, CatalogEntry) else resolve_entry(model)
        self._models_dir = models_dir
        self._thread_count = thread_count
        self._precision = precision
        self._cache_budget_bytes = default_cache_budget() if cache_budget_bytes is None else cache_budget_bytes
        self._outbox: Outbox = queue.SimpleQueue() if outbox is None else outbox
        self._step_lock: AbstractContextManager[object] = nullcontext() if step_lock is None else step_lock
        self._download_model = download_model
        self._inbox: deque[Request] = deque()
        self._accepted_ids: set[int] = set()
        self._canceled_ids: set[int] = set()
        self._is_dead = False
        self._is_closed = False
        self._changed = threading.Condition()
        self._loaded_model: LoadedModel | None = None
        self._memory_bytes = 0
        self._thread = threading.Thread(target=self._run_thread, name="local-engine", daemon=True)

    @property
    def model(self) -> str:
        """The name of the model in the catalog, or that of its folder."""
        return self._entry.name

    @property
    def capacity(self) -> int:
        """The number of requests that the model works on at once; 1 until it is loaded."""
        loaded_model = self._loaded_model
        return loaded_model.executor.max_groups if loaded_model else 1

    def load(self, on_progress: ProgressCallback) -> None:
        """Fetch the weights if they are missing, load and try them out, and start the computing thread.

        Raises ModelLoadError if the model cannot be had.
        """
        from chatsite.engine.downloads.weights import ensure_installed, find_local

        if self._download_model and self._entry.is_downloadable and not find_local(self._entry, self._models_dir):
            self._download_model(self._entry.name, on_progress)
        weights = ensure_installed(self._entry, self._models_dir, on_progress)
        on_progress(Progress("loading"))
        # Threads that wait for one another without sleeping make a busy machine ten times slower. The library
        # reads this when torch is first imported.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        from chatsite.engine.inference.loading.lazy_imports import import_transformers

        import_transformers()
        from chatsite.engine.inference.loaded_model import load_model

        bytes_before = memory.resident_bytes()
        self._loaded_model = load_model(self._entry.name, weights, self._precision, family=self._entry.family)
        memory.release_free_memory()
        self._memory_bytes = max(0, memory.resident_bytes() - bytes_before)
        self._thread.start()

    def submit(self, request: Request) -> None:
        """Queue a request; if the computing thread is dead, the request ends at once with an error."""
        with self._changed:
            if self._is_dead:
                self._outbox.put(Finish(request.id, FinishReason.ERROR, EngineDiedError()))
            else:
                self._inbox.append(request)
                self._changed.notify()

    def cancel(self, request_id: int) -> None:
        """Drop a request that waits, or tell the computing thread to end it before its next step."""
        with self._changed:
            if request_id in self._accepted_ids:
                self._canceled_ids.add(request_id)
            for request in [request for request in self._inbox if request.id == request_id]:
                self._inbox.remove(request)
                self._outbox.put(Finish(request.id, FinishReason.CANCELED))

    def poll_events(self, timeout_seconds: float) -> list[Event]:
        """Return the events since the last call, waiting up to `timeout_seconds` seconds for one."""
        return drain_events(self._outbox, timeout_seconds)

    def get_status(self) -> ModelStatus:
        """Return the memory of the model and its speed at the smoke test; both are 0 before it is loaded."""
        loaded_model = self._loaded_model
        if loaded_model is None:
            return ModelStatus(self.model, is_loaded=False)
        return ModelStatus(
            self.model,
            True,
            self._memory_bytes,
            loaded_model.tokens_per_second,
            loaded_model.precision,
            loaded_model.is_batched,
        )

    def close(self) -> None:
        """End the computing thread before its next step, wait for that, and release the model."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(CLOSE_TIMEOUT_SECONDS)
        self._loaded_model = None

    def _run_thread(self) -> None:
        """Compute until the engine is closed; whatever else ends it, every waiting request gets a Finish."""
        try:
            self._set_threads()
            self._run_loop()
        finally:
            self._fail_all()

    def _set_threads(self) -> None:
        """Set the number of threads of torch, which belongs to the thread that computes."""
        import torch

        from chatsite.engine.inference.native import set_num_threads

        if self._thread_count:
            torch.set_num_threads(self._thread_count)
        set_num_threads(torch.get_num_threads())

    def _run_loop(self) -> None:
        if self._loaded_model is None:
            raise RuntimeError("The engine was started before it was loaded.")
        scheduler = self._loaded_model.create_scheduler(self._cache_budget_bytes)
        while self._wait_for_work(scheduler):
            new_requests, canceled = self._take_commands()
            for request in new_requests:
                self._emit_events(scheduler.add_request(request))
            with self._step_lock:
                self._emit_events(scheduler.run_step(canceled))

    def _wait_for_work(self, scheduler: Scheduler) -> bool:
        """Wait for a request or a step to do; return False once the engine is closed."""
        with self._changed:
            self._changed.wait_for(lambda: scheduler.has_work or self._inbox or self._is_closed)
            return not self._is_closed

    def _take_commands(self) -> tuple[list[Request], set[int]]:
        """Return the requests that arrived, and the ids of those that are to be canceled."""
        with self._changed:
            new_requests = list(self._inbox)
            self._inbox.clear()
            self._accepted_ids |= {request.id for request in new_requests}
            return new_requests, set(self._canceled_ids)

    def _emit_events(self, events: Iterable[Event]) -> None:
        for event in events:
            if self._is_closed:
                return
            if isinstance(event, Finish):
                with self._changed:
                    self._accepted_ids.discard(event.request_id)
                    self._canceled_ids.discard(event.request_id)
            self._outbox.put(event)

    def _fail_all(self) -> None:
        with self._changed:
            self._is_dead = True
            unfinished_ids = [*(request.id for request in self._inbox), *sorted(self._accepted_ids)]
            self._inbox.clear()
            for request_id in () if self._is_closed else unfinished_ids:
                self._outbox.put(Finish(request_id, FinishReason.ERROR, EngineDiedError()))


def default_cache_budget() -> int:
    """Return the memory for keys and values in bytes: an eighth of this machine's, at most 4 GiB."""
    return min(memory.total_bytes() // 8, 4 << 30)


def estimate_memory(entry: CatalogEntry, models_dir: Path, precision: str) -> int:
    """Estimate how many bytes a model will take in memory, from the number of its weights.

    Raises ModelLoadError if its weights are not on this machine, or are damaged.
    """
    from chatsite.engine.downloads.weights import count_parameters, find_local

    if entry.source is None:
        return 0
    installed = find_local(entry, models_dir)
    if installed is None:
        raise ModelLoadError(reason=load_reasons.ModelAbsentError(name=entry.title))
    is_int8 = precision in {"auto", "int8"} and entry.family in INT8_BYTES_PER_WEIGHT
    return round(
        count_parameters(installed.folder) * (MAX_INT8_BYTES_PER_WEIGHT if is_int8 else MAX_FP32_BYTES_PER_WEIGHT)
    )
