"""A model at an endpoint, as an engine."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future

from chatsite.engine.catalog.entry import CatalogEntry, EndpointSource
from chatsite.engine.outbox import Outbox, drain_events
from chatsite.engine.remote.answer import Answer
from chatsite.engine.remote.client import EndpointClient
from chatsite.engine.remote.model_state import RemoteModelState
from chatsite.engine.types import Event, Finish, FinishReason, ModelStatus, Progress, ProgressCallback, Request


class RemoteEngine:
    """Answers with a model of an endpoint.

    The client may be shared by the engines of all models of the endpoint, and is closed by whoever made it. Nothing is
    asked before the first request, so that a server that is away does not keep the site from starting.
    """

    def __init__(self, entry: CatalogEntry, client: EndpointClient, outbox: Outbox | None = None) -> None:
        if not isinstance(entry.source, EndpointSource):
            raise TypeError(f"{entry.name} is no model of an endpoint.")
        self._entry = entry
        self._client = client
        self._outbox: Outbox = queue.SimpleQueue() if outbox is None else outbox
        self._state = RemoteModelState(entry.name, entry.source.model, client)
        self._lock = threading.Lock()
        self._running: dict[int, Future[None]] = {}

    @property
    def model(self) -> str:
        """The name of the model in the catalog."""
        return self._entry.name

    @property
    def capacity(self) -> int:
        """The number of answers that the endpoint writes at once, those of its other models included."""
        return self._client.limiter.max_answers

    def load(self, on_progress: ProgressCallback) -> None:
        """Say that there is nothing to load."""
        on_progress(Progress("loading", 1.0))

    def submit(self, request: Request) -> None:
        """Take up a request; it waits here while the endpoint has too many."""
        answer = Answer(request, self._state, lambda event: self._emit(request.id, event))
        with self._lock:
            self._running[request.id] = self._client.start(answer.write())

    def cancel(self, request_id: int) -> None:
        """End a request at once, whether the server has said anything or not."""
        with self._lock:
            task = self._running.pop(request_id, None)
            if task:
                self._outbox.put(Finish(request_id, FinishReason.CANCELED))
        if task:
            task.cancel()

    def poll_events(self, timeout_seconds: float) -> list[Event]:
        """Return the events since the last call, waiting up to `timeout_seconds` seconds for one."""
        return drain_events(self._outbox, timeout_seconds)

    def get_status(self) -> ModelStatus:
        """Return a status without memory, with the speed of the newest answer."""
        return ModelStatus(self.model, is_loaded=True, tokens_per_second=self._state.tokens_per_second)

    def close(self) -> None:
        """End all requests."""
        with self._lock:
            tasks = list(self._running.values())
            self._running.clear()
        for task in tasks:
            task.cancel()

    def _emit(self, request_id: int, event: Event) -> None:
        """Hand over an event of a request, unless that has ended: nothing comes after the Finish."""
        with self._lock:
            if request_id not in self._running:
                return
            self._outbox.put(event)
            if isinstance(event, Finish):
                del self._running[request_id]
