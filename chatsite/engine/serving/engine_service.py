"""An engine for callers in one asyncio loop.

Each answer is an asynchronous iterator; whoever ends it before its end stops the engine's work on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import time
from collections.abc import AsyncGenerator

from chatsite.engine.outbox import Outbox, drain_events
from chatsite.engine.serving.api_error import ApiError
from chatsite.engine.serving.chat_call import CallLimits, ChatCall, read_chat_call
from chatsite.engine.types import Engine, Event, Finish
from chatsite.errors import EngineDiedError

POLL_SECONDS = 0.5
# Shorter than what proxies wait for a silent server.
KEEP_ALIVE_SECONDS = 15.0
RETRY_AFTER_SECONDS = 3
# A long prompt is read in silence, but not for longer than this, even on processors.
STALL_SECONDS = 300.0


class EngineService:
    """A loaded engine that answers calls, and refuses those that would wait too long.

    `engine` leaves its events in `outbox` and is loaded already. `max_calls` are taken on at once, those included that
    wait for a place among the answers that the engine writes. All methods are called by one thread, that of the event
    loop. `context_tokens` is the length of the model's context window, for clients; 0 if it is not known.
    """

    def __init__(
        self,
        engine: Engine,
        outbox: Outbox,
        *,
        max_calls: int,
        limits: CallLimits | None = None,
        context_tokens: int = 0,
    ) -> None:
        self._engine = engine
        self._outbox = outbox
        self._max_calls = max_calls
        self._limits = limits or CallLimits()
        self._answers: dict[int, asyncio.Queue[Event]] = {}
        self._request_ids = itertools.count(1)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_dead = False
        self._last_event_at = 0.0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._deliver_events, name="engine-events", daemon=True)
        self.context_tokens = context_tokens

    @property
    def model(self) -> str:
        """The name of the model that is served."""
        return self._engine.model

    @property
    def call_count(self) -> int:
        """The number of calls that are being answered or wait."""
        return len(self._answers)

    @property
    def is_healthy(self) -> bool:
        """Whether the engine works; one that died, or is silent for `STALL_SECONDS` with work to do, does not.

        A thread that hangs in a driver cannot say so.
        """
        is_stalled = bool(self._answers) and time.monotonic() - self._last_event_at > STALL_SECONDS
        return not self._is_dead and not is_stalled

    def read_call(self, body: bytes) -> ChatCall:
        """Read the body of a request. Raises ApiError if it cannot be answered."""
        return read_chat_call(body, self.model, self._limits)

    async def answer(self, call: ChatCall) -> AsyncGenerator[list[Event], None]:
        """Yield the events of the answer to a call as they come, the last of them a Finish.

        Whatever ends the iteration earlier stops the engine's work on it. A list without events comes after each
        `KEEP_ALIVE_SECONDS` of silence. Raises ApiError with status 429 if as many calls wait as may.
        """
        if self.call_count >= self._max_calls:
            raise ApiError(
                "Too many requests are waiting for this model. Try again in a moment.",
                status=429,
                code="rate_limit_exceeded",
                retry_after=RETRY_AFTER_SECONDS,
            )
        self._start()
        request_id = next(self._request_ids)
        events: asyncio.Queue[Event] = asyncio.Queue()
        if not self._answers:
            self._last_event_at = time.monotonic()
        self._answers[request_id] = events
        is_finished = False
        try:
            self._engine.submit(call.to_request(request_id))
            while not is_finished:
                arrived = await _take_events(events)
                is_finished = bool(arrived) and isinstance(arrived[-1], Finish)
                yield arrived
        finally:
            del self._answers[request_id]
            if not is_finished:
                self._engine.cancel(request_id)

    def close(self) -> None:
        """End the threads and release the model."""
        self._closing.set()
        self._engine.close()

    def _start(self) -> None:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._thread.start()

    def _deliver_events(self) -> None:
        """Hand over what the engine left, in the order in which it came: the work of the thread."""
        while not self._closing.is_set():
            events = drain_events(self._outbox, POLL_SECONDS)
            if events and self._loop is not None:
                # A loop that is closed has no callers any more.
                with contextlib.suppress(RuntimeError):
                    self._loop.call_soon_threadsafe(self._put_events, events)

    def _put_events(self, events: list[Event]) -> None:
        self._last_event_at = time.monotonic()
        for event in events:
            if isinstance(event, Finish) and isinstance(event.error_message, EngineDiedError):
                self._is_dead = True
            # One that is missing was stopped, and its last words are nobody's.
            if event.request_id in self._answers:
                self._answers[event.request_id].put_nowait(event)


async def _take_events(queue: asyncio.Queue[Event]) -> list[Event]:
    """Take all queued events; wait for the first one for at most `KEEP_ALIVE_SECONDS`."""
    try:
        events = [await asyncio.wait_for(queue.get(), KEEP_ALIVE_SECONDS)]
    except TimeoutError:
        return []
    while not queue.empty():
        events.append(queue.get_nowait())
    return events
