"""A model on the shelf, and what waits for it."""

from __future__ import annotations

import queue
import time
from collections.abc import Collection
from dataclasses import dataclass, field, replace

from chatsite.engine import Engine, Event, Finish, FinishReason, Request, Residence
from chatsite.engine.entry import Entry

Outbox = queue.SimpleQueue[Event]


@dataclass(eq=False)
class Member:
    """A model that is in memory, on its way there, or asked for.

    `waiting` are the requests that its engine has not, `running` the numbers of those that it has. `estimate` is what
    it will take, in bytes; `used` when it was last at work, in seconds of the monotonic clock.
    """

    entry: Entry
    engine: Engine
    estimate: int = 0
    loading: bool = False
    loaded: bool = False
    waiting: list[Request] = field(default_factory=list)
    running: set[int] = field(default_factory=set)
    used: float = field(default_factory=time.monotonic)

    @property
    def busy(self) -> bool:
        """Whether somebody needs it."""
        return bool(self.loading or self.waiting or self.running)

    @property
    def size(self) -> int:
        """What it takes in memory, in bytes: nothing, what it is estimated to, or what was measured."""
        if not self.loaded:
            return self.estimate if self.loading else 0
        return self.engine.residence().memory or self.estimate

    def residence(self) -> Residence:
        """How it stands."""
        if self.loaded:
            return replace(self.engine.residence(), model=self.entry.name, loaded=True)
        return Residence(self.entry.name, loaded=False, memory=self.estimate)

    def hand_over(self) -> None:
        """Give the engine all that waits."""
        for request in self.waiting:
            self.running.add(request.id)
            self.engine.submit(request)
        self.waiting.clear()

    def cancel(self, request_id: int, outbox: Outbox) -> None:
        """Stop a request if it is one of these."""
        if request_id in self.running:
            self.engine.cancel(request_id)
        for request in [request for request in self.waiting if request.id == request_id]:
            self.waiting.remove(request)
            outbox.put(Finish(request_id, FinishReason.CANCELLED))

    def refuse(self, reason: str, outbox: Outbox) -> None:
        """End all that waits with an error."""
        for request in self.waiting:
            outbox.put(Finish(request.id, FinishReason.ERROR, reason))
        self.waiting.clear()

    def settle(self, over: Collection[int]) -> None:
        """Note which requests are over."""
        if not self.running.isdisjoint(over):
            self.running -= set(over)
            self.used = time.monotonic()
