"""The body of a reply, piece by piece: a stream of events, lines of JSON, or one JSON if a server does not stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, suppress

import httpx2

from chatsite.engine.remote.stream_parts import (
    GarbageError,
    LineSplitter,
    StreamPart,
    parse_completion,
    parse_event_line,
    parse_ollama_line,
)

STREAM_TYPES = ("text/event-stream", "application/x-ndjson")
MAX_WHOLE_BYTES = 16 << 20
# Text is stored and shown some times a second. To wake up for each token costs more than to read it, so the next ones
# gather for so long; what has gathered is then read for as long as the second says.
REST_SECONDS = 0.04
READ_SECONDS = 0.005


async def iter_parts(response: httpx2.Response, *, is_native_ollama: bool) -> AsyncGenerator[StreamPart, None]:
    """Yield the parts of an answer, and an empty part for a piece of the body without any: a sign of life.

    Raises GarbageError for what no server of models writes, and what httpx2 raises when the connection breaks.
    """
    content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == "text/html":
        raise GarbageError("a page")
    parse_line = parse_ollama_line if is_native_ollama else parse_event_line
    # Some servers name the type of a stream wrongly, and some do not stream: the first character tells.
    if content_type in STREAM_TYPES or is_native_ollama:
        parts = _iter_lines(response.aiter_raw(), LineSplitter(), parse_line)
    else:
        parts = _iter_unnamed(response, parse_line)
    async with aclosing(parts):
        async for each in parts:
            yield each


async def _iter_unnamed(
    response: httpx2.Response, parse_line: Callable[[str], StreamPart | None]
) -> AsyncGenerator[StreamPart, None]:
    """Yield the parts of a body of another type, which is one JSON if it begins like one."""
    chunks = response.aiter_raw()
    beginning = b""
    async for chunk in chunks:
        beginning += chunk
        if beginning.strip():
            break
        yield StreamPart()
    if beginning.lstrip().startswith(b"{"):
        async for each in _read_whole(beginning, chunks):
            yield each
        return
    splitter = LineSplitter()
    for line in splitter.push_bytes(beginning):
        if (part := parse_line(line)) is not None:
            yield part
    async for each in _iter_lines(chunks, splitter, parse_line):
        yield each


async def _iter_lines(
    chunks: AsyncIterator[bytes], splitter: LineSplitter, parse_line: Callable[[str], StreamPart | None]
) -> AsyncGenerator[StreamPart, None]:
    loop = asyncio.get_running_loop()
    rested_at = 0.0
    async for chunk in chunks:
        parts = [part for line in splitter.push_bytes(chunk) if (part := parse_line(line)) is not None]
        for part in parts or [StreamPart()]:
            yield part
        has_text = any(part.text or part.reasoning for part in parts) and parts[-1].finish_reason is None
        if has_text and loop.time() - rested_at > READ_SECONDS:
            await asyncio.sleep(REST_SECONDS)
            rested_at = loop.time()
    # Half a line means that the connection broke there, which whoever reads the parts sees by what is missing.
    with suppress(GarbageError):
        for line in splitter.flush_bytes():
            if (part := parse_line(line)) is not None:
                yield part


async def _read_whole(beginning: bytes, chunks: AsyncIterator[bytes]) -> AsyncGenerator[StreamPart, None]:
    content = beginning
    async for chunk in chunks:
        content += chunk
        if len(content) > MAX_WHOLE_BYTES:
            raise GarbageError("a reply without an end")
        yield StreamPart()
    try:
        record = json.loads(content)
    except (ValueError, RecursionError) as error:
        if _is_half(content.rstrip(), error):
            # The connection broke, as whoever reads the parts sees by what is missing.
            return
        raise GarbageError("no JSON") from None
    yield parse_completion(record)
    yield StreamPart(is_last=True)


def _is_half(content: bytes, error: Exception) -> bool:
    """Return whether JSON could not be read because its end is missing."""
    if not content.endswith(b"}"):
        return True
    # An object within it may be whole.
    return isinstance(error, json.JSONDecodeError) and error.pos >= len(error.doc.rstrip())
