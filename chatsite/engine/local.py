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

from chatsite.engine import Engine, Event, Finish, FinishReason, Progress, Report, Request, Residence, memory, reasons
from chatsite.engine.catalogue import SCRIPTED, Entry, resolve
from chatsite.engine.entry import INT8_BYTES
from chatsite.engine.reasons import because
from chatsite.engine.scripted import ScriptedEngine
from chatsite.errors import ModelUnavailableError

if TYPE_CHECKING:
    from chatsite.engine.decoding.batching import Batch
    from chatsite.engine.decoding.speaker import Speaker

Fetch = Callable[[str, Report], None]

CLOSING_SECONDS = 10.0
# What a weight takes at most: in eight bits beside the floats that prompts are read in, where that is to be had.
EIGHT_BITS, FLOATS = 3.0, 4.0
DEAD = "The thread that computes the answers has died."


def build(
    entry: Entry,
    models: Path,
    *,
    threads: int | None = None,
    precision: str = "auto",
    tokens_per_second: float = 40.0,
    outbox: queue.SimpleQueue[Event] | None = None,
    turns: AbstractContextManager[object] | None = None,
    fetch: Fetch | None = None,
) -> Engine:
    """The engine of a model, not loaded yet.

    `models` is the folder for converted weights, `threads` the number of processor threads (None: all that are there),
    `precision` what is computed in. `tokens_per_second` is the pace of the scripted engine, the only one that has a
    choice. Engines may share the `outbox` for their events, and the lock `turns`, which they hold for each step.
    `fetch` is another way than our own to bring weights here that are not.
    """
    if entry.name == SCRIPTED:
        return ScriptedEngine(tokens_per_second, outbox)
    return LocalEngine(entry, models, threads=threads, precision=precision, outbox=outbox, turns=turns, fetch=fetch)


class LocalEngine:
    """Answers with a model from the catalogue or a folder, many requests at once where the model allows it.

    `budget` is how many bytes the keys and values of all running answers may take. Raises ModelUnavailableError for a
    model whose name means nothing.
    """

    def __init__(
        self,
        model: str | Entry,
        models: Path,
        *,
        threads: int | None = None,
        precision: str = "auto",
        budget: int | None = None,
        outbox: queue.SimpleQueue[Event] | None = None,
        turns: AbstractContextManager[object] | None = None,
        fetch: Fetch | None = None,
    ) -> None:
        self._entry = model if isinstance(model, Entry) else resolve(model)
        self._models = models
        self._threads = threads
        self._precision = precision
        self._budget = memory_budget() if budget is None else budget
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue() if outbox is None else outbox
        self._turns: AbstractContextManager[object] = nullcontext() if turns is None else turns
        self._fetch = fetch
        self._inbox: deque[Request] = deque()
        self._taken: set[int] = set()
        self._cancelled: set[int] = set()
        self._dead = False
        self._closed = False
        self._changed = threading.Condition()
        self._speaker: Speaker | None = None
        self._memory = 0
        self._thread = threading.Thread(target=self._live, name="local-engine", daemon=True)

    @property
    def model(self) -> str:
        """The name in the catalogue, or that of the folder."""
        return self._entry.name

    @property
    def capacity(self) -> int:
        """How many requests the model works on at once; 1 until it is loaded."""
        speaker = self._speaker
        return speaker.stepper.limit if speaker else 1

    def load(self, report: Report) -> None:
        """Fetch the weights if need be, load them, try them out, and start the computing thread.

        Raises ModelUnavailableError when the model cannot be had.
        """
        from chatsite.engine.weights import ensure, present

        if self._fetch and self._entry.can_be_fetched and not present(self._entry, self._models):
            self._fetch(self._entry.name, report)
        weights = ensure(self._entry, self._models, report)
        report(Progress("loading"))
        # Threads that wait for one another without sleeping make a busy machine ten times slower. The library
        # reads this when torch is first imported.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        from chatsite.engine.decoding.importing import import_transformers

        import_transformers()
        from chatsite.engine.decoding.speaker import open_speaker

        before = memory.resident()
        self._speaker = open_speaker(self._entry.name, weights, self._precision, self._entry.family)
        memory.trim()
        self._memory = max(0, memory.resident() - before)
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

    def residence(self) -> Residence:
        """What the model takes and how quick it was when it was tried out; nothing is known before it is loaded."""
        speaker = self._speaker
        if speaker is None:
            return Residence(self.model, loaded=False)
        return Residence(self.model, True, self._memory, speaker.speed, speaker.precision, speaker.batched)

    def close(self) -> None:
        """End the computing thread before its next step, wait for that, and let go of the model."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(CLOSING_SECONDS)
        self._speaker = None

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

        from chatsite.engine.decoding.native import use_threads

        if self._threads:
            torch.set_num_threads(self._threads)
        use_threads(torch.get_num_threads())

    def _work(self) -> None:
        if self._speaker is None:
            raise RuntimeError("The engine was started before it was loaded.")
        batch = self._speaker.batch(self._budget)
        while self._wait(batch):
            arrived, cancelled = self._news()
            for request in arrived:
                self._say(batch.take(request))
            with self._turns:
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
    return min(memory.machine() // 8, 4 << 30)


def estimate(entry: Entry, models: Path, precision: str) -> int:
    """About how many bytes a model will take in memory, by the number of its weights.

    Raises ModelUnavailableError when it is not on this machine.
    """
    from chatsite.engine.weights import count, present

    if entry.source is None:
        return 0
    found = present(entry, models)
    if found is None:
        raise ModelUnavailableError(reason=because(reasons.AWAY, name=entry.title))
    eight_bits = precision in {"auto", "int8"} and entry.family in INT8_BYTES
    return round(count(found.folder) * (EIGHT_BITS if eight_bits else FLOATS))
