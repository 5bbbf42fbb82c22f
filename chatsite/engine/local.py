"""The embedded engine: a model in this process, on this machine's processors.

One thread of its own does all the computing. Other threads only put requests into its queue and take events
out, so nothing here waits for the model but `load`. This module is light: torch comes with `load`.
"""

from __future__ import annotations

import os
import queue
import threading
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from chatsite.engine import Engine, Event, Finish, FinishReason, Progress, Report, Request
from chatsite.engine.catalogue import resolve
from chatsite.engine.scripted import ScriptedEngine

if TYPE_CHECKING:
    from chatsite.engine.decoding.batching import Batch
    from chatsite.engine.decoding.speaker import Speaker

CLOSING_SECONDS = 10.0
DEAD = "The thread that computes the answers has died."


def build(
    model: str,
    models: Path,
    *,
    threads: int | None = None,
    precision: str = "auto",
    tokens_per_second: float = 40.0,
) -> Engine:
    """The engine for a model's name (`engine.catalogue.resolve`), not loaded yet.

    `models` is the folder for converted weights, `threads` the number of processor threads (None: all that
    are there), `dtype` what is computed in. `tokens_per_second` is the pace of the scripted engine, the only
    one that has a choice. Raises ModelUnavailableError for a name that means nothing.
    """
    if model == "scripted":
        return ScriptedEngine(tokens_per_second)
    return LocalEngine(model, models, threads=threads, precision=precision)


class LocalEngine:
    """Answers with a model from the catalogue or a folder, many requests at once where the model allows it.

    `budget` is how many bytes the keys and values of all running answers may take.
    """

    def __init__(
        self,
        model: str,
        models: Path,
        *,
        threads: int | None = None,
        precision: str = "auto",
        budget: int | None = None,
    ) -> None:
        self._entry = resolve(model)
        self._models = models
        self._threads = threads
        self._precision = precision
        self._budget = memory_budget() if budget is None else budget
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._inbox: deque[Request] = deque()
        self._taken: set[int] = set()
        self._cancelled: set[int] = set()
        self._dead = False
        self._closed = False
        self._changed = threading.Condition()
        self._speaker: Speaker | None = None
        self._thread = threading.Thread(target=self._live, name="local-engine", daemon=True)

    @property
    def model(self) -> str:
        """The name in the catalogue, or that of the folder."""
        return self._entry.name

    @property
    def capacity(self) -> int:
        """How many requests the model works on at once; 1 until it is loaded."""
        return self._speaker.stepper.limit if self._speaker else 1

    def load(self, report: Report) -> None:
        """Fetch the weights if need be, load them, try them out, and start the computing thread.

        Raises ModelUnavailableError when the model cannot be had.
        """
        from chatsite.engine.weights import ensure

        weights = ensure(self._entry, self._models, report)
        report(Progress("loading"))
        # Threads that wait for one another without sleeping make a busy machine ten times slower. The library
        # reads this when torch is first imported.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        from chatsite.engine.decoding.speaker import open_speaker

        self._speaker = open_speaker(self._entry.name, weights, self._precision)
        self._thread.start()

    def submit(self, request: Request) -> None:
        """Queue a request; when the computing thread is dead, it ends at once with an error."""
        with self._changed:
            if self._dead:
                self._events.put(Finish(request.id, FinishReason.ERROR, DEAD))
            else:
                self._inbox.append(request)
                self._changed.notify()

    def cancel(self, request_id: int) -> None:
        """Drop a request that was not taken up yet, or tell the computing thread to end it before its next step."""
        with self._changed:
            if request_id in self._taken:
                self._cancelled.add(request_id)
            for request in [request for request in self._inbox if request.id == request_id]:
                self._inbox.remove(request)
                self._events.put(Finish(request.id, FinishReason.CANCELLED))

    def events(self, wait: float) -> list[Event]:
        """What happened since the last call."""
        found: list[Event] = []
        try:
            found.append(self._events.get(timeout=wait))
            while True:
                found.append(self._events.get_nowait())
        except queue.Empty:
            return found

    def close(self) -> None:
        """End the computing thread before its next step and wait for that."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(CLOSING_SECONDS)

    def _live(self) -> None:
        """The computing thread: answer until closed; whatever ends it otherwise, nobody is left waiting."""
        try:
            self._set_threads()
            self._work()
        finally:
            self._die()

    def _set_threads(self) -> None:
        """The number of threads belongs to the thread that computes, so it is set by that one."""
        import torch

        if self._threads:
            torch.set_num_threads(self._threads)

    def _work(self) -> None:
        if self._speaker is None:
            raise RuntimeError("The engine was started before it was loaded.")
        batch = self._speaker.batch(self._budget)
        while self._wait(batch):
            arrived, cancelled = self._news()
            for request in arrived:
                self._say(batch.take(request))
            self._say(batch.advance(cancelled))

    def _wait(self, batch: Batch) -> bool:
        """Wait until there is work; False when the engine is closed."""
        with self._changed:
            self._changed.wait_for(lambda: batch.busy or self._inbox or self._closed)
            return not self._closed

    def _news(self) -> tuple[list[Request], set[int]]:
        """What arrived, and what is to be ended."""
        with self._changed:
            arrived = list(self._inbox)
            self._inbox.clear()
            self._taken |= {request.id for request in arrived}
            return arrived, set(self._cancelled)

    def _say(self, events: Iterable[Event]) -> None:
        for event in events:
            if self._closed:
                return
            if isinstance(event, Finish):
                with self._changed:
                    self._taken.discard(event.request_id)
                    self._cancelled.discard(event.request_id)
            self._events.put(event)

    def _die(self) -> None:
        with self._changed:
            self._dead = True
            left = [*(request.id for request in self._inbox), *sorted(self._taken)]
            self._inbox.clear()
            for request_id in () if self._closed else left:
                self._events.put(Finish(request_id, FinishReason.ERROR, DEAD))


def memory_budget() -> int:
    """How many bytes keys and values may take: an eighth of this machine's memory, but not more than 4 GiB."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(memory // 8, 4 << 30)
