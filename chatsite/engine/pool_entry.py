"""One model of the model pool, and the requests that wait for it."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, field, replace

from chatsite.engine.catalog.entry import CatalogEntry
from chatsite.engine.outbox import Outbox
from chatsite.engine.types import Engine, Finish, FinishReason, ModelStatus, Request
from chatsite.errors import ChatsiteError


@dataclass(eq=False)
class PoolEntry:
    """A model that is in memory, on its way there, or asked for.

    `pending_requests` are the requests that its engine does not have yet, `running_ids` the ids of those that it has.
    `estimated_bytes` is the memory that it will take; `last_used` is when it last worked, in seconds of the monotonic
    clock.
    """

    entry: CatalogEntry
    engine: Engine
    estimated_bytes: int = 0
    is_loading: bool = False
    is_loaded: bool = False
    pending_requests: list[Request] = field(default_factory=list)
    running_ids: set[int] = field(default_factory=set)
    last_used: float = field(default_factory=time.monotonic)

    @property
    def is_busy(self) -> bool:
        """Whether a request or a load would be lost if it were unloaded now."""
        return bool(self.is_loading or self.pending_requests or self.running_ids)

    @property
    def size_bytes(self) -> int:
        """The memory that it takes in bytes: 0, the estimate while it loads, or what was measured."""
        if not self.is_loaded:
            return self.estimated_bytes if self.is_loading else 0
        return self.engine.get_status().memory_bytes or self.estimated_bytes

    def get_status(self) -> ModelStatus:
        """Return the status of the model, loaded or not."""
        if self.is_loaded:
            return replace(self.engine.get_status(), model=self.entry.name, is_loaded=True)
        return ModelStatus(self.entry.name, is_loaded=False, memory_bytes=self.estimated_bytes)

    def submit_pending(self) -> None:
        """Hand all pending requests to the engine."""
        for request in self.pending_requests:
            self.running_ids.add(request.id)
            self.engine.submit(request)
        self.pending_requests.clear()

    def cancel_request(self, request_id: int, outbox: Outbox) -> None:
        """Stop a request if it belongs to this model; one that is pending ends with a Finish in `outbox`."""
        if request_id in self.running_ids:
            self.engine.cancel(request_id)
        for request in [request for request in self.pending_requests if request.id == request_id]:
            self.pending_requests.remove(request)
            outbox.put(Finish(request_id, FinishReason.CANCELED))

    def fail_pending(self, error: ChatsiteError, outbox: Outbox) -> None:
        """End all pending requests with an error, each with a Finish in `outbox`."""
        for request in self.pending_requests:
            outbox.put(Finish(request.id, FinishReason.ERROR, error))
        self.pending_requests.clear()

    def track_finished(self, finished_ids: Collection[int]) -> None:
        """Remove requests that are over from the running ones, and note when the model last worked."""
        if not self.running_ids.isdisjoint(finished_ids):
            self.running_ids -= set(finished_ids)
            self.last_used = time.monotonic()
