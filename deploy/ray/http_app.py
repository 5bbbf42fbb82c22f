"""OpenAI's interface to one engine, over HTTP: `/v1/models` and `/v1/chat/completions`, with and without a stream."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from chatsite.engine.serving.api_error import ApiError
from chatsite.engine.serving.chat_call import ChatCall
from chatsite.engine.serving.completion import KEEP_ALIVE, Completion, encode_error
from chatsite.engine.serving.engine_service import EngineService
from chatsite.engine.types import Event

MAX_BODY_BYTES = 8 << 20
# By which the site knows that this is its own engine, and what it can do.
OWNER = "chatsite"
Events = AsyncGenerator[list[Event], None]


class EventStream(StreamingResponse):
    """A stream that ends the work on its answer however it ends: at its end, or because the client went away."""

    media_type = "text/event-stream"

    def __init__(self, chunks: AsyncGenerator[bytes, None], events: Events) -> None:
        super().__init__(chunks, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._chunks = chunks
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream."""
        async with aclosing(self._events), aclosing(self._chunks):
            await super().__call__(scope, receive, send)


def create_http_app(get_service: Callable[[], EngineService]) -> Starlette:
    """Create the application; `get_service` returns the engine's service once there are requests."""
    started_at = int(time.time())

    def describe_model() -> dict[str, Any]:
        service = get_service()
        described: dict[str, Any] = {"id": service.model, "object": "model", "created": started_at, "owned_by": OWNER}
        if service.context_tokens:
            # The names under which clients look for it: vLLM's and OpenRouter's.
            described |= {"max_model_len": service.context_tokens, "context_length": service.context_tokens}
        return described

    async def list_models(request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [describe_model()]})

    async def show_model(request: Request) -> Response:
        if request.path_params["model"] != get_service().model:
            raise ApiError("There is no such model here.", status=404, code="model_not_found", param="model")
        return JSONResponse(describe_model())

    async def create_completion(request: Request) -> Response:
        service = get_service()
        call = service.read_call(await _read_body(request))
        events = service.answer(call)
        if not call.is_stream:
            return JSONResponse(await _complete(events, service.model))
        # Whatever goes wrong before the first event has a status of its own.
        completion = Completion(service.model)
        try:
            first_deltas = completion.take_events(await anext(events))
        except BaseException:
            await events.aclose()
            raise
        return EventStream(_encode(call, completion, events, first_deltas=first_deltas), events)

    async def check_health(request: Request) -> Response:
        service = get_service()
        state = {"status": "ok" if service.is_healthy else "failed", "in_progress": service.call_count}
        return JSONResponse(state, 200 if service.is_healthy else 503)

    return Starlette(
        routes=[
            Route("/v1/models", list_models),
            Route("/v1/models/{model:path}", show_model),
            Route("/v1/chat/completions", create_completion, methods=["POST"]),
            Route("/healthz", check_health),
        ],
        exception_handlers={ApiError: _refuse, HTTPException: _refuse, Exception: _refuse},
    )


async def _read_body(request: Request) -> bytes:
    """Read the body of a request. Raises ApiError with status 413 if it is larger than any conversation."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise ApiError(f"The body is larger than {MAX_BODY_BYTES} bytes.", status=413, code="too_large")
    return bytes(body)


async def _complete(events: Events, model: str) -> dict[str, Any]:
    """Wait for the whole answer. Raises ApiError if it fails."""
    completion = Completion(model)
    async with aclosing(events):
        async for arrived in events:
            completion.take_events(arrived)
    return completion.make_completion()


async def _encode(
    call: ChatCall, completion: Completion, events: Events, *, first_deltas: list[dict[str, Any]]
) -> AsyncGenerator[bytes, None]:
    """Yield the bytes of a stream, whose first deltas are there already."""
    yield completion.encode_first() + completion.encode_deltas(first_deltas)
    try:
        async for arrived in events:
            yield completion.encode_deltas(completion.take_events(arrived)) if arrived else KEEP_ALIVE
    except ApiError as error:
        yield encode_error(error)
        return
    yield completion.encode_end(includes_usage=call.includes_usage)


async def _refuse(request: Request, error: Exception) -> Response:
    """Say in JSON why a request is not answered; an error that is none of ours is logged by the caller."""
    if isinstance(error, HTTPException):
        code = "unknown_url" if error.status_code == 404 else None
        error = ApiError(f"{request.method} {request.url.path}: {error.detail}", status=error.status_code, code=code)
    elif not isinstance(error, ApiError):
        error = ApiError("Something went wrong in this server.", status=500, code="failed")
    return JSONResponse(error.body, error.status, error.headers)
