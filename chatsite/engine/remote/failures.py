"""What can go wrong with a request to an endpoint, and what to do about it: try again, wait, or give up."""

from __future__ import annotations

import email.utils
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

import httpx2

from chatsite.engine.remote.keys import redact
from chatsite.engine.remote.stream_parts import error_message
from chatsite.errors import ChatsiteError, endpoints

REFUSED_STATUSES = frozenset({400, 422})
RETRIED_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
MAX_RETRY_AFTER_SECONDS = 60.0
MAX_PAUSE_SECONDS = 8.0


class RequestFailedError(Exception):
    """A request to an endpoint failed with `error`.

    One that `is_retryable` may go well a moment later, after `retry_after` seconds if the server says so. With
    `is_loading` the server is there and reads its model. `breaks_circuit` says that other requests would fail too.
    `status` and `detail` are the status of the reply and what it says, if there was one.
    """

    def __init__(self, error: ChatsiteError, advice: Advice | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.advice = advice or Advice()


@dataclass(frozen=True)
class Advice:
    """What to do about a failure, as RequestFailedError says."""

    is_retryable: bool = False
    retry_after: float | None = None
    is_loading: bool = False
    is_busy: bool = False
    breaks_circuit: bool = False
    status: int = 0
    detail: str = ""


@dataclass(frozen=True)
class Reply:
    """A reply with another status than success: the first bytes of its body as text."""

    status: int
    headers: Mapping[str, str]
    body: str


def failure_of_reply(endpoint: str, reply: Reply, *, model: str, key: str) -> RequestFailedError:
    """Return what a reply with an error means."""
    detail = redact(error_message(reply.body), key)
    status, retry_after = reply.status, parse_retry_after(reply.headers)
    is_soon = retry_after is None or retry_after <= MAX_RETRY_AFTER_SECONDS
    advice = Advice(
        is_retryable=status in RETRIED_STATUSES and is_soon,
        retry_after=retry_after,
        is_loading=status == HTTPStatus.SERVICE_UNAVAILABLE and "loading" in detail.lower(),
        is_busy=status == HTTPStatus.TOO_MANY_REQUESTS,
        breaks_circuit=status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.PAYMENT_REQUIRED},
        status=status,
        detail=detail,
    )
    return RequestFailedError(_error_of_status(endpoint, model, status=status, detail=detail), advice)


def _error_of_status(endpoint: str, model: str, *, status: int, detail: str) -> ChatsiteError:
    error: ChatsiteError
    match status:
        case HTTPStatus.UNAUTHORIZED:
            error = endpoints.EndpointKeyRejectedError(endpoint=endpoint)
        case HTTPStatus.PAYMENT_REQUIRED:
            error = endpoints.EndpointUnpaidError(endpoint=endpoint)
        case HTTPStatus.NOT_FOUND if detail and model:
            error = endpoints.EndpointModelMissingError(endpoint=endpoint, model=model)
        case HTTPStatus.TOO_MANY_REQUESTS:
            error = endpoints.EndpointBusyError(endpoint=endpoint)
        case _ if 300 <= status < 400:
            error = endpoints.EndpointRedirectError(endpoint=endpoint)
        case _ if status >= 500:
            error = endpoints.EndpointBrokeError(endpoint=endpoint, detail=detail or f"HTTP {status}")
        case HTTPStatus.NOT_FOUND:
            error = endpoints.EndpointGarbageError(endpoint=endpoint)
        case _:
            error = endpoints.EndpointRejectedError(endpoint=endpoint, detail=detail or f"HTTP {status}")
    return error


def failure_of_exception(endpoint: str, error: httpx2.HTTPError | httpx2.InvalidURL) -> RequestFailedError:
    """Return what an exception of the connection means; none of its words are taken, because it holds the request."""
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.ProxyError):
        unreachable = endpoints.EndpointUnreachableError(endpoint=endpoint)
        return RequestFailedError(unreachable, Advice(is_retryable=True, breaks_circuit=True))
    if isinstance(error, httpx2.UnsupportedProtocol | httpx2.InvalidURL | httpx2.LocalProtocolError):
        return RequestFailedError(endpoints.EndpointUnreachableError(endpoint=endpoint))
    if isinstance(error, httpx2.DecodingError):
        return RequestFailedError(endpoints.EndpointGarbageError(endpoint=endpoint))
    if isinstance(error, httpx2.RemoteProtocolError) and "disconnect" not in str(error) and "closed" not in str(error):
        # Whoever listens there does not speak HTTP.
        return RequestFailedError(endpoints.EndpointGarbageError(endpoint=endpoint), Advice(is_retryable=True))
    return RequestFailedError(endpoints.EndpointCutOffError(endpoint=endpoint), Advice(is_retryable=True))


def parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """Return how many seconds a server asks to wait, from `retry-after-ms` or `Retry-After`; None if it does not."""
    milliseconds, text = headers.get("retry-after-ms", ""), headers.get("retry-after", "")
    try:
        if milliseconds:
            return _at_least_zero(float(milliseconds) / 1000)
        return _at_least_zero(float(text)) if text else None
    except ValueError:
        pass
    try:
        return _at_least_zero(email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def pause_seconds(attempt: int, retry_after: float | None, first_pause: float) -> float:
    """Return how long to wait before the next try, `attempt` counted from 0: what the server asks, or a random time.

    The longest is `first_pause` at first, and twice as long each time, in seconds. It is random
    over the whole range, so that many who failed together do not come back together (full jitter).
    """
    if retry_after is not None:
        return min(retry_after, MAX_RETRY_AFTER_SECONDS)
    return random.uniform(0, min(MAX_PAUSE_SECONDS, first_pause * 2**attempt))  # noqa: S311 No secret.


def _at_least_zero(seconds: float) -> float | None:
    # NaN is neither, and infinity is no time to wait for.
    return max(0.0, seconds) if seconds < 1e9 else None
