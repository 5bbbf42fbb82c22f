"""One endpoint: the connection to a server, in a thread with an event loop of its own.

Only a task of an event loop can be ended while it waits for a server that is silent, also before the first byte. So all
answers of an endpoint are tasks of one loop, and other threads only start and cancel them.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import threading
from collections.abc import AsyncIterator, Coroutine, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx2

from chatsite.engine.catalog.endpoints import Endpoint
from chatsite.engine.remote.bodies import root_url
from chatsite.engine.remote.capabilities import Capabilities
from chatsite.engine.remote.circuit import Circuit, CircuitBreaker
from chatsite.engine.remote.failures import Reply, RequestFailedError, failure_of_exception, failure_of_reply
from chatsite.engine.remote.limiter import AnswerLimiter
from chatsite.engine.remote.probe import EndpointReport, probe_server
from chatsite.errors import endpoints

# What they log on their way holds addresses and heads of replies.
for name in ("httpx2", "httpcore2"):
    logging.getLogger(name).setLevel(logging.WARNING)

MAX_ERROR_BYTES = 65_536
MAX_JSON_BYTES = 16 << 20
CLOSE_TIMEOUT_SECONDS = 5.0
# While nobody can be reached, it is asked again so often: a server that starts should not wait for the circuit.
RECHECK_SECONDS = 5.0


@dataclass(frozen=True)
class Timeouts:
    """How long an endpoint is waited for, in seconds.

    `connect` is for the connection, `write` for what is sent, `gap` between two pieces of a reply. Some servers send
    empty pieces while they work, so there is also `text`, between two that hold text. `short` is for replies that no
    model has to write. The time to the first byte belongs to the endpoint. `first_pause` is the longest before the
    first retry, `loading_pause` the one before asking again a server that reads its model.
    """

    connect: float = 5.0
    write: float = 30.0
    gap: float = 60.0
    text: float = 300.0
    short: float = 10.0
    first_pause: float = 0.5
    loading_pause: float = 1.0


class EndpointClient:
    """Asks one endpoint, for all of its models.

    `key` is sent with each request and shown nowhere. `capabilities` are what was found out about the server earlier,
    in the form of the property of that name. `probe` and `close` wait; all other methods do not.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        key: str,
        capabilities: Mapping[str, Any] | None = None,
        *,
        timeouts: Timeouts | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.timeouts = timeouts or Timeouts()
        self.learned = Capabilities.from_json(capabilities or {})
        self.limiter = AnswerLimiter(endpoint.max_answers)
        self.breaker = CircuitBreaker()
        self._key = key
        self._report: EndpointReport | None = None
        self._http = self._make_http()
        self._loop = asyncio.new_event_loop()
        self._recheck: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run_loop, name=f"endpoint-{endpoint.name}", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"<EndpointClient {self.endpoint.name}>"

    @property
    def circuit(self) -> Circuit | None:
        """The circuit while it is open, or None."""
        return self.breaker.find_open()

    @property
    def capabilities(self) -> dict[str, Any]:
        """What was found out about the server, as JSON, to be given to the next client."""
        return self.learned.to_json()

    @property
    def report(self) -> EndpointReport | None:
        """What the server has said about itself, or None if it was not asked yet."""
        return self._report

    @property
    def key(self) -> str:
        """The key, to be taken out of texts; never to be shown."""
        return self._key

    def start(self, work: Coroutine[Any, Any, None]) -> Future[None]:
        """Start a task on the loop; cancel the returned future to end it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def probe(self) -> EndpointReport:
        """Ask the server what it is, which models it has and what it can. Raises ChatsiteError with the reason."""
        try:
            return asyncio.run_coroutine_threadsafe(self._probe(), self._loop).result()
        except RequestFailedError as failure:
            raise failure.error from None

    def close(self) -> None:
        """End all tasks and the thread."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLOSE_TIMEOUT_SECONDS)

    async def find_report(self) -> EndpointReport:
        """Return what the server has said about itself, asking it first if nobody has. Raises RequestFailedError."""
        return self._report or await self._probe()

    async def get_json(self, url: str) -> tuple[Any, Mapping[str, str]]:
        """Return the JSON at an address and the headers. Raises RequestFailedError."""
        return await self._fetch_json("GET", url, None)

    async def post_json(self, path: str, body: Mapping[str, Any]) -> Any:
        """Post JSON to a path below the root of the server and return the reply. Raises RequestFailedError."""
        reply, _ = await self._fetch_json("POST", root_url(self.endpoint) + path, body)
        return reply

    @asynccontextmanager
    async def stream(self, url: str, body: Mapping[str, Any], *, model: str) -> AsyncIterator[httpx2.Response]:
        """Post JSON and yield the response, whose body is still to be read.

        Raises RequestFailedError for an error, also for one of the connection within the block.
        """
        async with self._respond("POST", url, body) as response:
            if response.status_code != 200:
                raise await self._failure_of(response, model)
            yield response

    def note_failure(self, failure: RequestFailedError) -> None:
        """Let others know of a failure that is not about one request only."""
        if failure.advice.is_busy:
            self.limiter.halve()
            if failure.advice.retry_after:
                self.breaker.note_busy(failure.advice.retry_after)
        elif failure.advice.breaks_circuit:
            self.breaker.note_failure(failure.error)
            is_away = isinstance(failure.error, endpoints.EndpointUnreachableError)
            if is_away and (self._recheck is None or self._recheck.done()):
                self._recheck = self._loop.create_task(self._await_return())

    async def _probe(self) -> EndpointReport:
        report = await probe_server(self)
        self._report = report
        self.limiter.max_answers = min(report.max_answers, self.endpoint.max_answers)
        self.limiter.give_places()
        self.breaker.note_success()
        return report

    async def _await_return(self) -> None:
        """Close the circuit as soon as somebody listens again: the work of a task of its own."""
        while self.circuit:
            await asyncio.sleep(RECHECK_SECONDS)
            with suppress(RequestFailedError):
                await self.get_json(f"{self.endpoint.url}/models")
                self.breaker.note_success()

    async def _fetch_json(self, method: str, url: str, body: Mapping[str, Any] | None) -> tuple[Any, Mapping[str, str]]:
        try:
            async with asyncio.timeout(self.timeouts.short), self._respond(method, url, body) as response:
                if response.status_code != 200:
                    raise await self._failure_of(response, "")
                content = await _read_bounded(response, MAX_JSON_BYTES)
                return json.loads(content), response.headers
        except TimeoutError:
            silent = endpoints.EndpointSilentError(endpoint=self.endpoint.name, seconds=round(self.timeouts.short))
            raise RequestFailedError(silent) from None
        except (ValueError, RecursionError):
            raise RequestFailedError(endpoints.EndpointGarbageError(endpoint=self.endpoint.name)) from None

    @asynccontextmanager
    async def _respond(self, method: str, url: str, body: Mapping[str, Any] | None) -> AsyncIterator[httpx2.Response]:
        # Servers compute with text: what cannot be written as UTF-8 is no text.
        content = None if body is None else json.dumps(body, ensure_ascii=True).encode()
        try:
            async with self._http.stream(method, url, content=content) as response:
                if response.headers.get("content-encoding", "identity") != "identity":
                    # Nobody asked for it, and a few bytes may hide any number of them.
                    raise RequestFailedError(endpoints.EndpointGarbageError(endpoint=self.endpoint.name))
                yield response
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise failure_of_exception(self.endpoint.name, error) from None

    async def _failure_of(self, response: httpx2.Response, model: str) -> RequestFailedError:
        body = (await _read_bounded(response, MAX_ERROR_BYTES)).decode("utf-8", "replace")
        reply = Reply(response.status_code, response.headers, body)
        return failure_of_reply(self.endpoint.name, reply, model=model, key=self._key)

    def _make_http(self) -> httpx2.AsyncClient:
        # Compressed streams are held back until there is enough to compress.
        headers = {"Content-Type": "application/json", "User-Agent": "chatsite", "Accept-Encoding": "identity"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        timeout = httpx2.Timeout(None, connect=self.timeouts.connect, write=self.timeouts.write)
        return httpx2.AsyncClient(
            headers=headers,
            timeout=timeout,
            # A redirect would carry the key and the words elsewhere.
            follow_redirects=False,
            # Proxies are for the internet: what runs here is asked directly.
            trust_env=not self.endpoint.is_loopback,
            verify=self._load_certificates(),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=8),
        )

    def _load_certificates(self) -> ssl.SSLContext | bool:
        if not self.endpoint.ca_file:
            return True
        try:
            return ssl.create_default_context(cafile=str(self.endpoint.ca_file))
        except (OSError, ssl.SSLError):
            raise endpoints.EndpointCertificatesError(endpoint=self.endpoint.name, file=self.endpoint.ca_file) from None

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            tasks = asyncio.all_tasks(self._loop)
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            self._loop.run_until_complete(self._http.aclose())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()


async def _read_bounded(response: httpx2.Response, max_bytes: int) -> bytes:
    """Return the body of a response, or its beginning if it is longer than `max_bytes`."""
    content = b""
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) >= max_bytes:
            break
    return content[:max_bytes]
