"""Files that are created while they are sent, of which a bounded number is under way at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from flask import Flask, Response, current_app, stream_with_context

from chatsite.errors import TooManyExportsError
from chatsite.web.core.identity import current_user
from chatsite.web.core.network import current_network
from chatsite.web.core.slots import SlotLimiter

# Each chunk costs a system call, so small pieces are joined.
MIN_CHUNK_BYTES = 64 * 1024
# In each web worker. A file takes a thread for as long as the client takes it, and the time of the render process.
MAX_FILES = 8
MAX_FILES_PER_USER = 2
MAX_FILES_PER_NETWORK = 4


def init_app(app: Flask) -> None:
    """Set up the limit of files under way."""
    app.extensions["export_limiter"] = SlotLimiter(
        MAX_FILES, {"user": MAX_FILES_PER_USER, "network": MAX_FILES_PER_NETWORK}, TooManyExportsError
    )


def stream_file(pieces: Iterator[str | bytes], mimetype: str) -> Response:
    """Return the response that sends the pieces of a file only as fast as the client takes them.

    Raises TooManyExportsError while this user, network or worker has too many files under way.
    """
    limiter: SlotLimiter = current_app.extensions["export_limiter"]
    user, network = current_user(), current_network()
    slot = ExitStack()
    slot.callback(limiter.acquire_slot(user=user.id if user else None, network=network.key if network else None))
    response = Response(stream_with_context(_until_end(collect_chunks(pieces), slot)), mimetype=mimetype)
    # A client that goes away, or only asks for the headers, never comes to the end.
    response.call_on_close(slot.close)
    response.headers["X-Accel-Buffering"] = "no"
    return response


def _until_end(chunks: Iterator[bytes], slot: ExitStack) -> Iterator[bytes]:
    with slot:
        yield from chunks


def collect_chunks(pieces: Iterator[str | bytes]) -> Iterator[bytes]:
    """Join pieces of a file into chunks of at least MIN_CHUNK_BYTES bytes, texts in UTF-8."""
    pending: list[bytes] = []
    length = 0
    for piece in pieces:
        data = piece if isinstance(piece, bytes) else piece.encode("utf-8", "replace")
        pending.append(data)
        length += len(data)
        if length >= MIN_CHUNK_BYTES:
            yield b"".join(pending)
            pending, length = [], 0
    yield b"".join(pending)
