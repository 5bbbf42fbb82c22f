"""Several models in memory within a budget: load what is asked for, unload what was used least recently.

A request for a model that is not in memory waits while that is loaded by a thread of its own, and the others go on. If
there is no room until an answer is finished, all later requests wait too, so that each model has its turn. Models of
endpoints take no memory here: they are ready at once, and neither wait for others nor make them wait.
"""

from __future__ import annotations

import gc
import queue
import threading
from collections.abc import Callable, Sequence

import structlog

from chatsite.engine import memory
from chatsite.engine.catalog.entry import CatalogEntry
from chatsite.engine.outbox import Outbox, drain_events
from chatsite.engine.pool_entry import PoolEntry
from chatsite.engine.types import Engine, Event, Finish, FinishReason, ModelStatus, ProgressCallback, Request
from chatsite.errors import ChatsiteError, ModelLoadError, load_reasons, reason_of

log = structlog.get_logger()

EngineFactory = Callable[[CatalogEntry, Outbox], Engine]


class ModelPool:
    """An engine that is made of one engine for each model.

    `preferred` are the models for requests that name none: the first of them that can be loaded answers. `find_entry`
    returns the catalog entry of a name, `create_engine` the engine of an entry, which puts its events into the outbox,
    and `estimate_bytes` about how many bytes it will take; `find_entry` and `estimate_bytes` raise ModelLoadError for
    what cannot be had here. `budget_bytes` is the memory of all models together.
    """

    def __init__(
        self,
        preferred: Sequence[CatalogEntry],
        find_entry: Callable[[str], CatalogEntry],
        create_engine: EngineFactory,
        *,
        estimate_bytes: Callable[[CatalogEntry], int],
        budget_bytes: int,
    ) -> None:
        self._preferred = tuple(preferred)
        self._default_model = self._preferred[0].name
        self._find_entry = find_entry
        self._create_engine = create_engine
        self._estimate_bytes = estimate_bytes
        self._budget_bytes = budget_bytes
        self._outbox: Outbox = queue.SimpleQueue()
        self._pool_entries: dict[str, PoolEntry] = {}
        self._failures: dict[str, ChatsiteError] = {}
        self._unloading: set[str] = set()
        self._is_closed = False
        self._lock = threading.RLock()

    @property
    def model(self) -> str:
        """The name of the model that answers requests which name none."""
        return self._default_model

    @property
    def capacity(self) -> int:
        """The number of requests for models of this machine that can be submitted.

        Those that wait for a model take no place from others. Requests for models of endpoints can always be submitted.
        """
        with self._lock:
            pool_entries = [each for each in self._pool_entries.values() if not each.entry.is_remote]
            loaded_capacity = sum(pool_entry.engine.capacity for pool_entry in pool_entries if pool_entry.is_loaded)
            return max(1, loaded_capacity) + sum(
                len(pool_entry.pending_requests) for pool_entry in pool_entries if not pool_entry.is_loaded
            )

    def load(self, on_progress: ProgressCallback) -> None:
        """Load the first of the preferred models that can be had, fetching it if it is not on this machine.

        Raises ModelLoadError if none can be had: the error of the last one.
        """
        failures = []
        for entry in self._preferred:
            pool_entry = PoolEntry(entry, self._create_engine(entry, self._outbox), is_loading=True)
            with self._lock:
                self._pool_entries[entry.name] = pool_entry
            try:
                self._load_entry(pool_entry, on_progress)
            except ChatsiteError as error:
                failures.append(error)
            else:
                self._default_model = entry.name
                return
        raise failures[-1]

    def submit(self, request: Request) -> None:
        """Hand a request to its model; if that cannot be had, the request ends with an error.

        One in the background is canceled at once unless its model is in memory, or elsewhere.
        """
        with self._lock:
            if request.is_background and not self._is_ready(request.model or self._default_model):
                self._outbox.put(Finish(request.id, FinishReason.CANCELED))
                return
            try:
                self._get_or_add(request.model or self._default_model).pending_requests.append(request)
            except Exception as error:
                # Whatever is wrong with one model or its files, the others go on.
                self._outbox.put(Finish(request.id, FinishReason.ERROR, _as_load_error(error)))
            self._schedule_loads()

    def cancel(self, request_id: int) -> None:
        """Stop a request, whether it is pending or running."""
        with self._lock:
            for pool_entry in self._pool_entries.values():
                pool_entry.cancel_request(request_id, self._outbox)

    def poll_events(self, timeout_seconds: float) -> list[Event]:
        """Return the events of all models since the last call, waiting up to `timeout_seconds` for one."""
        events = drain_events(self._outbox, timeout_seconds)
        finished_ids = [event.request_id for event in events if isinstance(event, Finish)]
        if finished_ids:
            with self._lock:
                for pool_entry in self._pool_entries.values():
                    pool_entry.track_finished(finished_ids)
                self._schedule_loads()
        return events

    def close(self) -> None:
        """Close all loaded models; one that is being loaded is closed when it is ready."""
        with self._lock:
            self._is_closed = True
            loaded = [pool_entry for pool_entry in self._pool_entries.values() if pool_entry.is_loaded]
        for pool_entry in loaded:
            pool_entry.engine.close()

    def get_status(self) -> ModelStatus:
        """Return the status of the model that answers requests which name none."""
        return next(
            status
            for status in [*self.list_statuses(), ModelStatus(self._default_model, False)]
            if status.model == self._default_model
        )

    def list_statuses(self) -> list[ModelStatus]:
        """Return the models in memory and on their way there, and those that could not be loaded."""
        with self._lock:
            failed = [
                ModelStatus(name, is_loaded=False, failure_reason=reason) for name, reason in self._failures.items()
            ]
            return [*(pool_entry.get_status() for pool_entry in self._pool_entries.values()), *failed]

    def set_default(self, name: str) -> None:
        """Load a model, and let it answer the requests that name none from now on.

        Raises ModelLoadError if it cannot be had here.
        """
        with self._lock:
            self._get_or_add(name)
            self._default_model = name
            self._schedule_loads()

    def can_fit(self, size_bytes: int) -> bool:
        """Say whether a model of `size_bytes` bytes could be loaded at all."""
        return size_bytes <= self._budget_bytes

    def clear_failure(self, name: str) -> None:
        """Forget that a model could not be loaded, because the cause may be gone."""
        with self._lock:
            self._failures.pop(name, None)

    def unload_model(self, name: str) -> bool:
        """Refuse new requests for a model and unload it once its answers are finished; return whether it is gone."""
        with self._lock:
            self._unloading.add(name)
            pool_entry = self._pool_entries.get(name)
            if pool_entry:
                pool_entry.fail_pending(_unloading_error(pool_entry.entry), self._outbox)
                if pool_entry.is_busy:
                    return False
                self._unload_entry(pool_entry)
            self._unloading.discard(name)
            self._failures.pop(name, None)
            return True

    def _is_ready(self, name: str) -> bool:
        """Return whether a model can begin at once: it is in memory, or at an endpoint."""
        if name in self._unloading:
            return False
        pool_entry = self._pool_entries.get(name)
        try:
            return pool_entry.is_loaded if pool_entry else self._find_entry(name).is_remote
        except ModelLoadError:
            return False

    def _get_or_add(self, name: str) -> PoolEntry:
        """Return the entry of a name, adding it if there is none.

        Raises ModelLoadError if the model is unknown, absent, larger than the budget, or being unloaded.
        """
        pool_entry = self._pool_entries.get(name)
        if pool_entry and name not in self._unloading:
            return pool_entry
        entry = self._find_entry(name)
        if name in self._unloading:
            raise _unloading_error(entry)
        if entry.is_remote:
            return self._add_remote(entry)
        estimated_bytes = self._estimate_bytes(entry)
        if estimated_bytes > self._budget_bytes:
            raise _too_large_error(entry, estimated_bytes, self._budget_bytes)
        self._failures.pop(name, None)
        self._pool_entries[name] = PoolEntry(entry, self._create_engine(entry, self._outbox), estimated_bytes)
        return self._pool_entries[name]

    def _add_remote(self, entry: CatalogEntry) -> PoolEntry:
        """Add a model of an endpoint, which is ready at once."""
        engine = self._create_engine(entry, self._outbox)
        engine.load(lambda progress: None)
        self._pool_entries[entry.name] = PoolEntry(entry, engine, is_loaded=True)
        return self._pool_entries[entry.name]

    def _schedule_loads(self) -> None:
        """Start the next load if there is room, and hand pending requests to the loaded engines."""
        pool_entries = list(self._pool_entries.values())
        next_entry = next(
            (pool_entry for pool_entry in pool_entries if not (pool_entry.is_loaded or pool_entry.is_loading)), None
        )
        is_full = False
        if next_entry and not self._is_closed and not any(pool_entry.is_loading for pool_entry in pool_entries):
            is_full = not self._evict_for(next_entry)
            if not is_full:
                next_entry.is_loading = True
                threading.Thread(
                    target=self._load_in_thread, args=(next_entry,), name="model-load", daemon=True
                ).start()
        for pool_entry in self._pool_entries.values():
            if pool_entry.is_loaded and (not is_full or pool_entry.entry.is_remote):
                pool_entry.submit_pending()

    def _evict_for(self, next_entry: PoolEntry) -> bool:
        """Unload the least recently used idle models until `next_entry` fits; return whether it does."""
        while (
            sum(pool_entry.size_bytes for pool_entry in self._pool_entries.values()) + next_entry.estimated_bytes
            > self._budget_bytes
        ):
            idle_entries = [
                pool_entry
                for pool_entry in self._pool_entries.values()
                if pool_entry.is_loaded and not pool_entry.running_ids and not pool_entry.entry.is_remote
            ]
            if not idle_entries:
                return False
            self._unload_entry(min(idle_entries, key=lambda member: member.last_used))
        return True

    def _unload_entry(self, pool_entry: PoolEntry) -> None:
        """Unload a model that has no running requests; add it anew if requests are pending."""
        del self._pool_entries[pool_entry.entry.name]
        if pool_entry.is_loaded:
            pool_entry.engine.close()
            # Modules of torch refer to one another in circles.
            gc.collect()
            memory.release_free_memory()
        if pool_entry.pending_requests:
            requeued_entry = PoolEntry(
                pool_entry.entry,
                self._create_engine(pool_entry.entry, self._outbox),
                pool_entry.size_bytes,
                pending_requests=pool_entry.pending_requests,
            )
            self._pool_entries[pool_entry.entry.name] = requeued_entry

    def _load_in_thread(self, pool_entry: PoolEntry) -> None:
        """Load a model while others answer: the work of the thread that `_schedule_loads` starts."""
        try:
            self._load_entry(pool_entry, lambda progress: None)
        except ChatsiteError as error:
            with self._lock:
                pool_entry.fail_pending(error, self._outbox)
        with self._lock:
            self._schedule_loads()

    def _load_entry(self, pool_entry: PoolEntry, on_progress: ProgressCallback) -> None:
        """Load a model and hand it its pending requests.

        Raises ModelLoadError if that fails for whatever reason, after noting the reason for the status.
        """
        try:
            pool_entry.engine.load(on_progress)
        except Exception as error:
            load_error = _as_load_error(error)
            with self._lock:
                self._on_load_failed(pool_entry, reason_of(load_error))
            raise load_error from error
        with self._lock:
            pool_entry.is_loading, pool_entry.is_loaded = False, True
            # Now, before another load evicts it again.
            pool_entry.submit_pending()
            if self._is_closed:
                pool_entry.engine.close()

    def _on_load_failed(self, pool_entry: PoolEntry, reason: ChatsiteError) -> None:
        """Remove a model that could not be loaded; a loaded one becomes the default in its place."""
        pool_entry.is_loading = False
        self._pool_entries.pop(pool_entry.entry.name, None)
        self._failures[pool_entry.entry.name] = reason
        others = [name for name, other in self._pool_entries.items() if other.is_loaded]
        if self._default_model == pool_entry.entry.name and others:
            self._default_model = others[0]


def _as_load_error(error: Exception) -> ChatsiteError:
    """Return an error of ours as it is, and any other one, which is logged, as the reason of a ModelLoadError."""
    if isinstance(error, ChatsiteError):
        return error
    log.error("model_broke", exc_info=error)
    return ModelLoadError(reason=f"{type(error).__name__}: {error}")


def _unloading_error(entry: CatalogEntry) -> ModelLoadError:
    return ModelLoadError(reason=load_reasons.ModelLeavingError(name=entry.title))


def _too_large_error(entry: CatalogEntry, needed_bytes: int, budget_bytes: int) -> ModelLoadError:
    needed_text, budget_text = f"{needed_bytes / 1e9:.1f} GB", f"{budget_bytes / 1e9:.1f} GB"
    return ModelLoadError(
        reason=load_reasons.NotEnoughMemoryError(name=entry.title, needed=needed_text, most=budget_text)
    )
