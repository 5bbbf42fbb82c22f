"""The embedded engine: a model in this process, on this machine's processors.

One thread of its own does all the computing. Other threads only put requests into its queue and take events
out, so nothing here waits for the model but `load`. This module is light: torch comes with `load`.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from chatsite.engine import Engine, Event, Finish, FinishReason, Progress, Report, Request
from chatsite.engine.catalogue import resolve
from chatsite.engine.scripted import ScriptedEngine

if TYPE_CHECKING:
    from chatsite.engine.decoding.speaker import Speaker

CLOSING_SECONDS = 10.0
DEAD = "The thread that computes the answers has died."


def build(
    model: str,
    models: Path,
    *,
    threads: int | None = None,
    dtype: str = "float32",
    tokens_per_second: float = 40.0,
) -> Engine:
    """The engine for a model's name (`engine.catalogue.resolve`), not loaded yet.

    `models` is the folder for converted weights, `threads` the number of processor threads (None: all that
    are there), `dtype` what is computed in. `tokens_per_second` is the pace of the scripted engine, the only
    one that has a choice. Raises ModelUnavailableError for a name that means nothing.
    """
    if model == "scripted":
        return ScriptedEngine(tokens_per_second)
    return LocalEngine(model, models, threads=threads, dtype=dtype)


class LocalEngine:
    """Answers with a model from the catalogue or a folder, one request after the other."""

    capacity = 1

    def __init__(self, model: str, models: Path, *, threads: int | None = None, dtype: str = "float32") -> None:
        self._entry = resolve(model)
        self._models = models
        self._threads = threads
        self._dtype = dtype
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._waiting: deque[Request] = deque()
        self._running: int | None = None
        self._cancelled = False
        self._dead = False
        self._closed = False
        self._changed = threading.Condition()
        self._speaker: Speaker | None = None
        self._thread = threading.Thread(target=self._live, name="local-engine", daemon=True)

    @property
    def model(self) -> str:
        """The name in the catalogue, or that of the folder."""
        return self._entry.name

    def load(self, report: Report) -> None:
        """Fetch the weights if need be, load them, try them out, and start the computing thread.

        Raises ModelUnavailableError when the model cannot be had.
        """
        from chatsite.engine.weights import ensure

        weights = ensure(self._entry, self._models, report)
        report(Progress("loading"))
        from chatsite.engine.decoding.speaker import open_speaker

        self._speaker = open_speaker(self._entry.name, weights, self._dtype)
        self._thread.start()

    def submit(self, request: Request) -> None:
        """Queue a request; when the computing thread is dead, it ends at once with an error."""
        with self._changed:
            if self._dead:
                self._events.put(Finish(request.id, FinishReason.ERROR, DEAD))
            else:
                self._waiting.append(request)
                self._changed.notify()

    def cancel(self, request_id: int) -> None:
        """Drop a waiting request, or tell the computing thread to stop before its next step."""
        with self._changed:
            self._cancelled = self._cancelled or self._running == request_id
            waiting = [request for request in self._waiting if request.id == request_id]
            for request in waiting:
                self._waiting.remove(request)
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
            while request := self._next():
                self._answer(request)
        finally:
            self._die()

    def _set_threads(self) -> None:
        """The number of threads belongs to the thread that computes, so it is set by that one."""
        import torch

        if self._threads:
            torch.set_num_threads(self._threads)

    def _next(self) -> Request | None:
        """The next request, once there is one; None when the engine is closed."""
        with self._changed:
            self._running = None
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if self._closed:
                return None
            request = self._waiting.popleft()
            self._running, self._cancelled = request.id, False
            return request

    def _answer(self, request: Request) -> None:
        if self._speaker is None:
            raise RuntimeError("The engine was started before it was loaded.")
        try:
            for event in self._speaker.answer(request, lambda: self._cancelled):
                if self._closed:
                    return
                self._events.put(event)
        except Exception as error:
            # One request that goes wrong is its own affair: the next one gets a fresh start.
            self._events.put(Finish(request.id, FinishReason.ERROR, _message(error)))

    def _die(self) -> None:
        with self._changed:
            self._dead = True
            left = [request.id for request in self._waiting]
            left += [] if self._running is None else [self._running]
            self._waiting.clear()
            for request_id in () if self._closed else left:
                self._events.put(Finish(request_id, FinishReason.ERROR, DEAD))


def _message(error: Exception) -> str:
    return str(error) or type(error).__name__
