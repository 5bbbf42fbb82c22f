"""The event stream of one answer: the text so far, then new text as it is written, then the finished message.

A stream never owns the work. Opened again, in any tab or browser, it continues from the database. Each event is a set
of `<hx-partial>` elements. Its id is `<generation>.<origin>.<finished blocks>.<announced sentences>.<characters of
reasoning>`, so that a browser that reconnects receives only the rest. `origin` changes when the text starts over, as
the provisional texts of a beam search do.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import structlog
from flask import Blueprint, Flask, Response, current_app, request
from markupsafe import Markup
from werkzeug.wrappers import Response as AnyResponse

from chatsite.errors import NotFoundError, TooManyStreamsError
from chatsite.models import Message
from chatsite.rendering.blocks import BlockStream
from chatsite.rendering.process.render_budget import RenderBudget
from chatsite.services.chat import comparisons
from chatsite.services.chat.generation_progress import GenerationSnapshot
from chatsite.web.chat.announcements import Announcer
from chatsite.web.chat.conversation_views import build_finished
from chatsite.web.chat.generation_watcher import GenerationWatcher
from chatsite.web.chat.pages import render_finished_message
from chatsite.web.chat.reasoning_views import ReasoningStream, ReasoningUpdate
from chatsite.web.chat.stream_pace import StreamPace
from chatsite.web.chat.views import GenerationStatus, build_generation_status
from chatsite.web.chat.waiting_views import WaitingView, build_waiting
from chatsite.web.core.blocks import render_growing_blocks
from chatsite.web.core.identity import get_message
from chatsite.web.core.network import current_network
from chatsite.web.core.slots import SlotLimiter
from chatsite.web.core.templating import dom_id, render_fragment

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

bp = Blueprint("streams", __name__)
log = structlog.get_logger()

STATUS_INTERVAL_SECONDS = 1.0
# A waiting stream checks at least this often whether its worker is shutting down.
MAX_WAIT_SECONDS = 0.5
RETRY_MS = 400
# Streams block their threads for minutes; these threads are left for pages.
SPARE_THREADS = 64


@bp.get("/messages/<public_id>/stream")
def show(public_id: str) -> Response:
    """Stream an answer until it is finished. Raises NotFoundError, TooManyStreamsError."""
    message = get_message(public_id)
    limiter: SlotLimiter = current_app.extensions["stream_limiter"]
    network = current_network()
    release = limiter.acquire_slot(user=message.conversation.user_id, network=network.key if network else None)
    stream = _AnswerStream(current_app._get_current_object(), request.environ, message)  # type: ignore[attr-defined]
    response = Response(stream.iter_events(request.headers.get("Last-Event-ID", "")), mimetype="text/event-stream")
    response.call_on_close(release)
    response.call_on_close(stream.close_socket)
    response.headers["Cache-Control"] = "no-store"
    # nginx would collect the events in a buffer, and the answer would appear at once at its end.
    response.headers["X-Accel-Buffering"] = "no"
    return response


@bp.delete("/messages/<public_id>/stream")
def destroy(public_id: str) -> AnyResponse | str:
    """Stop an answer in progress, and the answers that are compared with it. Raises NotFoundError."""
    comparisons.stop(get_message(public_id))
    return render_finished_message(public_id, is_followed=True)


def format_sse(data: str, event: str = "", event_id: str = "") -> str:
    """Format one server-sent event. `retry` is repeated in each, because htmx reads it only from events with data."""
    lines = [f"id: {event_id}"] if event_id else []
    lines += [f"event: {event}"] if event else []
    lines += [f"retry: {RETRY_MS}"]
    # The format ends a line at a carriage return too, so one in the data would begin a line without a field name.
    lines += [f"data: {line}" for line in data.replace("\r", "\n").split("\n")]
    return "\n".join(lines) + "\n\n"


def init_app(app: Flask) -> None:
    """Create the stream limiter of this worker. Each stream blocks one thread of gunicorn."""
    threads = app.config["THREADS"]
    app.extensions["stream_limiter"] = SlotLimiter(
        max(threads - SPARE_THREADS, threads // 2),
        {"user": app.config["MAX_STREAMS_PER_USER"], "network": app.config["MAX_STREAMS_PER_ADDRESS"]},
        TooManyStreamsError,
    )


class _AnswerStream:
    """The events of one answer for one browser.

    A stream outlives the request that opened it. It enters the request context again to render, and leaves it before it
    waits, so it holds no database session while it waits. Each time it needs the message, it loads it anew and checks
    its owner.
    """

    def __init__(self, app: Flask, environ: WSGIEnvironment, message: Message) -> None:
        self._app = app
        # Entered again for each event: the request is parsed only once, and its database session ends each time.
        self._context = app.request_context(environ)
        self._socket: socket.socket | None = environ.get("gunicorn.socket")
        self._is_complete = False
        self._public_id = message.public_id
        self._client_state = _ClientState(message, request.args.get("announced", 0, type=int))

    def iter_events(self, last_event_id: str) -> Iterator[str]:
        """Yield all events. A final `done` keeps the browser from reconnecting, also after an error.

        A worker that is shutting down sends no `done`, so that the browser reconnects to another worker.
        """
        if self._socket:
            # A client that opens a stream and reads nothing must not block a thread forever.
            self._socket.settimeout(self._app.config["STREAM_SEND_TIMEOUT_SECONDS"])
        try:
            self._client_state.resume_after(last_event_id)
            if (yield from self._follow_generations()):
                yield self._render_in_request(self._render_final)
                yield format_sse("", event="done")
        except NotFoundError:
            # The conversation was deleted meanwhile.
            yield format_sse("", event="done")
        except Exception as error:
            log.error("stream_broke", error=type(error).__name__, exc_info=error)
            yield format_sse("", event="done")
        self._is_complete = True

    def close_socket(self) -> None:
        """Shut down the connection of an unfinished stream; gunicorn would wait for the browser to close it."""
        if self._socket and not self._is_complete:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _follow_generations(self) -> Generator[str, None, bool]:
        """Yield the events of all generations that write the answer, one after another.

        Returns False if this worker is shutting down before the last of them is finished.
        """
        # A released answer keeps its generation, but Retry and Continue add a new one to the same message. The loop
        # ends when the message is finished (0) or has no newer generation.
        generation_id = 0
        while self._client_state.generation_id not in {0, generation_id}:
            generation_id = self._client_state.generation_id
            if not (yield from self._follow_generation(generation_id)):
                return False
            with self._context:
                message = get_message(self._public_id)
                if message.is_in_progress:
                    self._client_state = _ClientState(message, 0)
        return True

    def _follow_generation(self, generation_id: int) -> Generator[str, None, bool]:
        """Yield the events of one generation until it is finished.

        Returns False if this worker is shutting down before that.
        """
        watcher: GenerationWatcher = self._app.extensions["generation_watcher"]
        seen_version, pace = 0, StreamPace()
        with watcher.watch_generation(generation_id):
            while self._is_worker_alive():
                version, snapshot, is_gone = watcher.wait_for_change(generation_id, seen_version, MAX_WAIT_SECONDS)
                if version != seen_version and (seconds := pace.seconds_left(snapshot)) > 0:
                    # Too soon after the last event: several changes are sent in one.
                    version, snapshot, is_gone = watcher.wait_for_change(
                        generation_id, seen_version, seconds, is_enough=pace.is_awaited
                    )
                if is_gone or (snapshot is not None and not snapshot.is_in_progress):
                    return True
                if snapshot is not None and version != seen_version:
                    seen_version = version
                    pace.note_event(snapshot)
                    yield self._render_in_request(partial(self._client_state.render_update, snapshot))
                elif pace.is_silent:
                    pace.note_event(snapshot)
                    yield ": still here\n\n"
        return False

    def _render_in_request(self, render: Callable[[], str]) -> str:
        with self._context:
            return render()

    def _render_final(self) -> str:
        message = get_message(self._public_id)
        announcement = self._client_state.announcer.remaining_announcement(message.text)
        view = build_finished(message, is_stream_end=True, announcement=announcement)
        return format_sse(render_fragment("messages/finished.partials.html", view=view))

    def _is_worker_alive(self) -> bool:
        """Return whether the worker keeps running; always true without gunicorn."""
        worker = self._app.extensions.get("gunicorn_worker")
        return worker is None or bool(worker.alive)


@dataclass(frozen=True)
class StreamUpdate:
    """The text written since the last event: all blocks from `first_index` on.

    The page has an older state of the first of them. If `starts_anew` is true, `blocks` replace everything that the
    page has. Without `status` the status line stays unchanged, and so does the waiting message without
    `has_new_waiting`.
    """

    element_id: str
    blocks: Sequence[Markup]
    first_index: int
    starts_anew: bool
    status: GenerationStatus | None
    announcement: str
    waiting: WaitingView | None = None
    has_new_waiting: bool = False
    reasoning: ReasoningUpdate | None = None


class _ClientState:
    """The state of one answer in one browser. `generation_id` is the generation that writes it, 0 if it is finished."""

    def __init__(self, message: Message, announced: int) -> None:
        self.generation_id = message.generation.id if message.generation and message.is_in_progress else 0
        self.announcer = Announcer(message, announced)
        self._public_id = message.public_id
        self._dom_id = dom_id(message)
        # A finished answer is sent as a whole, and need not be cut into blocks for that.
        self._prefix_text = message.text if self.generation_id else ""
        self._budget = RenderBudget()
        self._rendered_at = time.monotonic()
        self._status_at = 0.0
        self._is_provisional = False
        self._reasoning = ReasoningStream()
        # What the page shows is not known, so the first event tells it.
        self._waiting: WaitingView | str | None = "unknown"
        self._restart_blocks(0)

    def resume_after(self, last_event_id: str) -> None:
        """Continue after the blocks that the `Last-Event-ID` header names; any other id starts the text over."""
        parts = last_event_id.split(".")
        # The browser may send any text, and a later generation counts its blocks anew.
        if len(parts) == 5 and parts[0] == str(self.generation_id) and all(map(_is_number, parts)):
            numbers = (int(part[:9]) for part in parts[1:])
            self._origin, self._rendered_blocks, self.announcer.announced, self._reasoning.known_chars = numbers
            self._starts_anew = False

    def render_update(self, snapshot: GenerationSnapshot) -> str:
        """Render the event that brings the browser up to `snapshot`."""
        if snapshot.restart_seq != self._origin:
            self._restart_blocks(snapshot.restart_seq)
            self._reasoning.restart()
            self.announcer.announced = 0
        text = self._prefix_text + snapshot.text
        self._blocks.feed(text[self._blocks.length :])
        sources = [*self._blocks.finished, self._blocks.open]
        # A browser that claims more blocks than there are has the state of another text.
        starts_anew = self._starts_anew or self._rendered_blocks >= len(sources)
        first_index = 0 if starts_anew else self._rendered_blocks
        now = time.monotonic()
        self._budget.refill(now - self._rendered_at)
        self._rendered_at = now
        status = build_generation_status(snapshot) if self._is_status_due(snapshot) else None
        reasoning = self._reasoning.next_update(snapshot, is_due=status is not None)
        has_begun = reasoning is not None and reasoning.is_whole and snapshot.is_thinking
        has_new_waiting = status is not None and self._has_new_waiting()
        view = StreamUpdate(
            element_id=self._dom_id,
            blocks=render_growing_blocks(sources, self._budget, first=first_index),
            first_index=first_index,
            starts_anew=starts_anew,
            status=status,
            announcement=self.announcer.announce_thinking()
            if has_begun
            else self.announcer.next_announcement(snapshot),
            waiting=self._waiting if isinstance(self._waiting, WaitingView) else None,
            has_new_waiting=has_new_waiting,
            reasoning=reasoning,
        )
        body = render_fragment("messages/stream_update.partials.html", view=view)
        # The last block is still open, so the next event sends it again.
        self._starts_anew, self._rendered_blocks = False, len(sources) - 1
        state = (self._origin, self._rendered_blocks, self.announcer.announced, self._reasoning.known_chars)
        return format_sse(body, event_id=".".join(map(str, (self.generation_id, *state))))

    def _restart_blocks(self, origin: int) -> None:
        self._origin = origin
        self._blocks = BlockStream()
        self._blocks.feed(self._prefix_text)
        self._rendered_blocks, self._starts_anew = 0, True
        self.announcer.track_blocks(self._blocks)

    def _has_new_waiting(self) -> bool:
        """Look at the waiting message, and return whether it changed since the page was told of it."""
        message = get_message(self._public_id)
        known, self._waiting = self._waiting, build_waiting(message.conversation, message)
        return known != self._waiting

    def _is_status_due(self, snapshot: GenerationSnapshot) -> bool:
        has_switched = snapshot.is_provisional is not self._is_provisional
        is_due = (
            has_switched
            or snapshot.queue_position is not None
            or time.monotonic() - self._status_at > STATUS_INTERVAL_SECONDS
        )
        if is_due:
            self._status_at, self._is_provisional = time.monotonic(), snapshot.is_provisional
        return is_due


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()
