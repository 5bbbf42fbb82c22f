"""The stream of one answer: what was written so far, then what is being written, then the finished message.

A stream never owns the work. Whoever opens it again, here or elsewhere, gets the same text from the database. Each
message of it is a set of `<hx-partial>`s; its id is `<generation>.<origin>.<finished blocks>.<sentences heard>`, so
that a browser that comes back is sent only what it lacks. The origin changes when the text begins anew, as drafts do.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import TYPE_CHECKING

import structlog
from flask import Blueprint, Flask, Response, current_app, request
from werkzeug.wrappers import Response as AnyResponse

from chatsite.errors import NotFoundError, TooManyStreamsError
from chatsite.models import Message
from chatsite.rendering.blocks import BlockStream
from chatsite.services import comparisons
from chatsite.services.changes import Change
from chatsite.web.access import get_message, visitor
from chatsite.web.fragments import dom_id, fragment, settled
from chatsite.web.hub import Hub
from chatsite.web.telling import Teller

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

bp = Blueprint("streams", __name__)
log = structlog.get_logger()

TICK_SECONDS = 0.1
STATUS_SECONDS = 1.0
# Words that may change again come seldom enough to be read.
DRAFT_SECONDS = 0.25
HEARTBEAT_SECONDS = 15.0
LONGEST_WAIT = 0.5
RETRY_MS = 400
SPARE_THREADS = 64


@bp.get("/messages/<public_id>/stream")
def show(public_id: str) -> Response:
    """Follow an answer until it is over. Raises NotFoundError, TooManyStreamsError."""
    message = get_message(public_id)
    user = visitor()
    leave = current_app.extensions["places"].take(user.id if user else 0)
    stream = _Stream(current_app._get_current_object(), request.environ, message)  # type: ignore[attr-defined]
    response = Response(stream.events(request.headers.get("Last-Event-ID", "")), mimetype="text/event-stream")
    response.call_on_close(leave)
    response.call_on_close(stream.hang_up)
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
    return response


@bp.delete("/messages/<public_id>/stream")
def destroy(public_id: str) -> AnyResponse | str:
    """Stop: the answer is written no further, nor are those that it is compared with."""
    comparisons.stop(get_message(public_id))
    return settled(public_id, followed=True)


def sse(data: str, event: str = "", event_id: str = "") -> str:
    """One server-sent event. `retry` rides along, because htmx reads it only on a message with data."""
    lines = [f"id: {event_id}"] if event_id else []
    lines += [f"event: {event}"] if event else []
    lines += [f"retry: {RETRY_MS}"]
    lines += [f"data: {line}" for line in data.replace("\r", "\n").split("\n")]
    return "\n".join(lines) + "\n\n"


class Places:
    """The threads that streams may take: so many in this worker, so many of one visitor."""

    def __init__(self, threads: int, per_user: int) -> None:
        self._most = max(threads - SPARE_THREADS, threads // 2)
        self._per_user = per_user
        self._taken: Counter[int] = Counter()
        self._lock = threading.Lock()

    @property
    def taken(self) -> int:
        """How many streams are open in this worker."""
        return self._taken.total()

    def take(self, user_id: int) -> Callable[[], None]:
        """Take a place; returns what gives it back. Raises TooManyStreamsError when there is none."""
        with self._lock:
            if self.taken >= self._most or self._taken[user_id] >= self._per_user:
                raise TooManyStreamsError
            self._taken[user_id] += 1
        return partial(self._leave, user_id)

    def _leave(self, user_id: int) -> None:
        with self._lock:
            self._taken[user_id] -= 1
            if not self._taken[user_id]:
                del self._taken[user_id]


def init_app(app: Flask) -> None:
    """Give this worker its places."""
    app.extensions["places"] = Places(app.config["THREADS"], app.config["STREAMS_PER_USER"])


class _Stream:
    """The events of one answer for one browser.

    It lives longer than the request that opened it. Whenever it renders it enters that request anew, and leaves it
    before it waits: so it holds no database session, and whose message it is gets looked up again.
    """

    def __init__(self, app: Flask, environ: WSGIEnvironment, message: Message) -> None:
        self._app = app
        # One context, entered again and again: what the request says is read once, its database session is not kept.
        self._context = app.request_context(environ)
        self._socket: socket.socket | None = environ.get("gunicorn.socket")
        self._complete = False
        self._public_id = message.public_id
        self._view = _View(message, request.args.get("heard", 0, type=int))

    def events(self, last_event_id: str) -> Iterator[str]:
        """All events, ended in a way that keeps the browser from asking again and again when something broke."""
        if self._socket:
            # Who opens a stream and reads nothing must not hold a thread for ever.
            self._socket.settimeout(self._app.config["STREAM_SEND_SECONDS"])
        try:
            self._view.resume(last_event_id)
            if (yield from self._follow_all()):
                yield self._render(self._final)
                yield sse("", event="done")
        except NotFoundError:
            yield sse("", event="done")
        except Exception as error:
            log.error("stream_broke", error=type(error).__name__, exc_info=error)
            yield sse("", event="done")
        self._complete = True

    def hang_up(self) -> None:
        """End the connection of a stream that was not sent to its end; gunicorn would wait for the browser to do so."""
        if self._socket and not self._complete:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _follow_all(self) -> Generator[str, None, bool]:
        """Follow the answer, whichever generations write it; returns False when this worker ends before them."""
        followed = 0
        while self._view.generation_id not in {0, followed}:
            followed = self._view.generation_id
            if not (yield from self._follow(followed)):
                return False
            with self._context:
                message = get_message(self._public_id)
                if message.active:
                    self._view = _View(message, 0)
        return True

    def _follow(self, generation_id: int) -> Generator[str, None, bool]:
        """Send what is written until the generation is over; returns False when this worker ends first."""
        hub: Hub = self._app.extensions["hub"]
        seen, sent_at = 0, 0.0
        with hub.watch(generation_id):
            while self._worker_alive():
                version, change, gone = hub.wait(generation_id, seen, LONGEST_WAIT)
                pause = DRAFT_SECONDS if change and change.draft else TICK_SECONDS
                early = sent_at + pause - time.monotonic()
                if version != seen and early > 0:
                    # What comes within a tick of the last event is sent with what comes by its end.
                    time.sleep(early)
                    version, change, gone = hub.wait(generation_id, seen, 0)
                if gone or (change is not None and not change.active):
                    return True
                if change is not None and version != seen:
                    seen, sent_at = version, time.monotonic()
                    yield self._render(partial(self._view.update, change))
                elif time.monotonic() - sent_at > HEARTBEAT_SECONDS:
                    sent_at = time.monotonic()
                    yield ": still here\n\n"
        return False

    def _render(self, work: Callable[[], str]) -> str:
        with self._context:
            return work()

    def _final(self) -> str:
        message = get_message(self._public_id)
        said = self._view.teller.rest(message.text)
        return sse(fragment("messages/_settled.html", message=message, growing=False, said=said))

    def _worker_alive(self) -> bool:
        """Whether gunicorn wants this worker to go on; without gunicorn always."""
        worker = self._app.extensions.get("gunicorn_worker")
        return worker is None or bool(worker.alive)


class _View:
    """What one browser has of an answer; `generation_id` is who writes it, or 0 when it is finished."""

    def __init__(self, message: Message, heard: int) -> None:
        self.generation_id = message.generation.id if message.generation and message.active else 0
        self.teller = Teller(message, heard)
        self._dom_id = dom_id(message)
        self._prefix = message.text
        self._status_at = 0.0
        self._draft = False
        self._begin(0)

    def resume(self, last_event_id: str) -> None:
        """Go on after the blocks that the browser says it has; anything else it says begins anew."""
        parts = last_event_id.split(".")
        if len(parts) == 4 and parts[0] == str(self.generation_id) and all(map(_is_number, parts)):
            self._origin, self._known, self.teller.count = (int(part[:9]) for part in parts[1:])
            self._fresh = False

    def update(self, change: Change) -> str:
        """The event that brings the browser up to date."""
        if change.origin != self._origin:
            self._begin(change.origin)
            self.teller.count = 0
        text = self._prefix + change.text
        self._blocks.feed(text[self._blocks.length :])
        sources = [*self._blocks.finished, self._blocks.open]
        fresh = self._fresh or self._known >= len(sources)
        body = fragment(
            "messages/_growth.html",
            dom_id=self._dom_id,
            sources=sources,
            known=0 if fresh else self._known,
            fresh=fresh,
            change=change if self._status_due(change) else None,
            said=self.teller.news(change),
        )
        self._fresh, self._known = False, len(sources) - 1
        return sse(body, event_id=f"{self.generation_id}.{self._origin}.{self._known}.{self.teller.count}")

    def _begin(self, origin: int) -> None:
        self._origin = origin
        self._blocks = BlockStream()
        self._blocks.feed(self._prefix)
        self._known, self._fresh = 0, True
        self.teller.follow(self._blocks)

    def _status_due(self, change: Change) -> bool:
        turned = change.draft is not self._draft
        due = turned or change.position is not None or time.monotonic() - self._status_at > STATUS_SECONDS
        if due:
            self._status_at, self._draft = time.monotonic(), change.draft
        return due


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()
