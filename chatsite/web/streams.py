"""The stream of one answer: what was written so far, then what is being written, then the finished message.

A stream never owns the work. Whoever opens it again, here or elsewhere, gets the same text from the database. Each
message of it is a set of `<hx-partial>`s; its id is `<generation>.<number of finished blocks>`, so that a browser that
comes back is sent only what it lacks.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from flask import Blueprint, Flask, Response, current_app, request, stream_with_context
from werkzeug.wrappers import Response as AnyResponse

from chatsite.database import db
from chatsite.errors import NotFoundError, TooManyStreamsError
from chatsite.models import Message, User
from chatsite.rendering.blocks import BlockStream
from chatsite.services import generations
from chatsite.services.generations import Change
from chatsite.web.access import get_message, visitor
from chatsite.web.fragments import fragment, settled
from chatsite.web.hub import Hub

bp = Blueprint("streams", __name__)
log = structlog.get_logger()

TICK_SECONDS = 0.1
STATUS_SECONDS = 0.5
HEARTBEAT_SECONDS = 15.0
LONGEST_WAIT = 0.5
RETRY_MS = 400
SPARE_THREADS = 64

_open: Counter[int] = Counter()
_lock = threading.Lock()


@bp.get("/messages/<public_id>/stream")
def show(public_id: str) -> Response:
    """Follow an answer until it is over. Raises NotFoundError, TooManyStreamsError."""
    message = get_message(public_id)
    user = visitor()
    assert user is not None  # noqa: S101 get_message found something of theirs.
    places = _place(user)
    places.__enter__()
    events = _guarded(message, request.headers.get("Last-Event-ID", ""))
    response = Response(stream_with_context(events), mimetype="text/event-stream")
    response.call_on_close(lambda: places.__exit__(None, None, None))
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
    return response


@bp.delete("/messages/<public_id>/stream")
def destroy(public_id: str) -> AnyResponse | str:
    """Stop: the answer is written no further."""
    generations.stop(get_message(public_id))
    return settled(public_id)


def sse(data: str, event: str = "", event_id: str = "") -> str:
    """One server-sent event. `retry` rides along, because htmx reads it only on a message with data."""
    lines = [f"id: {event_id}"] if event_id else []
    lines += [f"event: {event}"] if event else []
    lines += [f"retry: {RETRY_MS}"]
    lines += [f"data: {line}" for line in data.replace("\r", "\n").split("\n")]
    return "\n".join(lines) + "\n\n"


@contextmanager
def _place(user: User) -> Iterator[None]:
    """A thread for a stream of this visitor. Raises TooManyStreamsError when there is none left."""
    config, key = current_app.config, user.id
    most = max(config["THREADS"] - SPARE_THREADS, config["THREADS"] // 2)
    with _lock:
        if _open.total() >= most or _open[key] >= config["STREAMS_PER_USER"]:
            raise TooManyStreamsError
        _open[key] += 1
    try:
        yield
    finally:
        with _lock:
            _open[key] -= 1
            if not _open[key]:
                del _open[key]


def _guarded(message: Message, last_event_id: str) -> Iterator[str]:
    """The stream, ended in a way that stops the browser from asking again and again when something broke."""
    try:
        yield from _events(message, last_event_id)
    except NotFoundError:
        yield sse("", event="done")
    except Exception as error:
        log.error("stream_broke", error=type(error).__name__, exc_info=error)
        yield sse("", event="done")


def _events(message: Message, last_event_id: str) -> Iterator[str]:
    hub: Hub = current_app.extensions["hub"]
    generation = message.generation
    view = _View(message)
    if generation is not None and generation.active:
        generation_id = generation.id
        # The session is given back before the wait: a stream that kept one would pin the database for minutes.
        db.session.remove()
        over = yield from _follow(hub, generation_id, view, last_event_id)
        if not over:
            return
    db.session.remove()
    yield sse(view.final())
    db.session.remove()
    yield sse("", event="done")


def _follow(hub: Hub, generation_id: int, view: _View, last_event_id: str) -> Iterator[str]:
    """Send what is written until the generation is over; returns False when this worker ends first."""
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    seen, sent_at = 0, time.monotonic()
    view.resume(generation_id, last_event_id)
    with hub.watch(generation_id):
        while _worker_alive(app):
            version, change, gone = hub.wait(generation_id, seen, LONGEST_WAIT)
            if gone or (change is not None and not change.active):
                return True
            if change is not None and version != seen:
                seen = version
                yield view.update(change)
                sent_at = time.monotonic()
                time.sleep(TICK_SECONDS)
            elif time.monotonic() - sent_at > HEARTBEAT_SECONDS:
                sent_at = time.monotonic()
                yield ": still here\n\n"
    return False


def _worker_alive(app: Flask) -> bool:
    """Whether gunicorn wants this worker to go on; without gunicorn always."""
    worker = app.extensions.get("gunicorn_worker")
    return worker is None or bool(worker.alive)


class _View:
    """What one browser has of an answer."""

    def __init__(self, message: Message) -> None:
        self._public_id = message.public_id
        self._prefix = message.text
        self._blocks = BlockStream()
        self._blocks.feed(self._prefix)
        self._generation_id = 0
        self._known = 0
        self._fresh = True
        self._status_at = 0.0

    def resume(self, generation_id: int, last_event_id: str) -> None:
        """Go on after the blocks that the browser says it has; anything else it says begins anew."""
        self._generation_id = generation_id
        known_generation, _, blocks = last_event_id.partition(".")
        if known_generation == str(generation_id) and blocks.isascii() and blocks.isdecimal():
            self._fresh, self._known = False, int(blocks[:9])

    def update(self, change: Change) -> str:
        """The event that brings the browser up to date."""
        text = self._prefix + change.text
        self._blocks.feed(text[self._blocks.length :])
        finished = self._blocks.finished
        fresh = self._fresh or self._known > len(finished)
        body = fragment(
            "messages/_growth.html",
            public_id=self._public_id,
            blocks=finished if fresh else finished[self._known :],
            open=self._blocks.open,
            fresh=fresh,
            change=change if self._status_due(change) else None,
        )
        self._fresh, self._known = False, len(finished)
        return sse(body, event_id=f"{self._generation_id}.{self._known}")

    def final(self) -> str:
        """The message as it stays."""
        message = get_message(self._public_id)
        return fragment("messages/_settled.html", message=message, conversation=message.conversation)

    def _status_due(self, change: Change) -> bool:
        due = change.position is not None or time.monotonic() - self._status_at > STATUS_SECONDS
        if due:
            self._status_at = time.monotonic()
        return due
