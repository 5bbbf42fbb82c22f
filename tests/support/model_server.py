"""An HTTP server that says what a test wants, byte by byte: for servers of models and what may go wrong with them."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

MAX_HEAD_BYTES = 65_536
# How long a server keeps silent before a test is called stuck.
SILENCE_SECONDS = 60.0
# The connection ends with a reset, as when a process is killed.
RESET = object()
# Nothing more comes, and the connection stays open until the client leaves.
SILENCE = object()


@dataclass
class HttpRequest:
    """A request as it came: `body` is its JSON, empty if it has none. `was_abandoned` is set if the client left."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: dict[str, Any] = field(default_factory=dict)
    was_abandoned: threading.Event = field(default_factory=threading.Event)


Reply = Callable[[HttpRequest], Iterable[object]]


class ModelServer:
    """Listens on a free port of this machine; `reply` yields the raw bytes for each request, or RESET or SILENCE.

    Each connection serves one request. `requests` are all that came so far.
    """

    def __init__(self, reply: Reply, port: int = 0) -> None:
        self._reply = reply
        self.requests: list[HttpRequest] = []
        self._listener = socket.create_server(("127.0.0.1", port), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._is_closing = threading.Event()
        self._open: set[socket.socket] = set()
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    @property
    def url(self) -> str:
        """The base of the paths of OpenAI's form."""
        return f"http://127.0.0.1:{self.port}/v1"

    def asked(self, end: str) -> list[HttpRequest]:
        """The requests whose path ends like this."""
        return [request for request in self.requests if request.path.endswith(end)]

    def close(self) -> None:
        """Refuse new connections and end the open ones, as a killed server does."""
        self._is_closing.set()
        # A closed socket goes on listening for as long as a thread waits for its next connection, so it gets one.
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        self._accepting.join()
        with suppress(OSError):
            # Wakes the thread that accepts.
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            _reset(connection)

    def __enter__(self) -> ModelServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        while not self._is_closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            if self._is_closing.is_set():
                _reset(connection)
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        self._open.add(connection)
        request = None
        try:
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                request = read_request(connection)
                if request:
                    self.requests.append(request)
                    _send(connection, request, self._reply(request))
        except OSError:
            # The client has left in the middle, which is what some tests are about.
            if request:
                request.was_abandoned.set()
        finally:
            self._open.discard(connection)


def read_request(connection: socket.socket) -> HttpRequest | None:
    """Read a request with its body; None if the client left before it had sent one."""
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(65_536)
        if not chunk or len(data) > MAX_HEAD_BYTES:
            return None
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    request_line, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = request_line.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", "0")):
        chunk = connection.recv(65_536)
        if not chunk:
            return None
        body += chunk
    return HttpRequest(method, path, headers, json.loads(body) if body else {})


def _send(connection: socket.socket, request: HttpRequest, pieces: Iterable[object]) -> None:
    for piece in pieces:
        if piece is RESET:
            _reset(connection)
            return
        if piece is SILENCE:
            connection.settimeout(SILENCE_SECONDS)
            if not connection.recv(1):
                request.was_abandoned.set()
            return
        assert isinstance(piece, bytes)
        connection.sendall(piece)


def _reset(connection: socket.socket) -> None:
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RDWR)
        connection.close()
    except OSError:
        return


def head(status: int = 200, content_type: str = "text/event-stream", **headers: str) -> bytes:
    """The head of a reply whose body ends with the connection."""
    lines = [f"HTTP/1.1 {status} Reply", f"Content-Type: {content_type}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def json_reply(record: object, status: int = 200, **headers: str) -> list[bytes]:
    """A whole reply of JSON."""
    body = json.dumps(record).encode()
    return [head(status, "application/json", Content_Length=str(len(body)), **headers), body]


def event(record: object) -> bytes:
    """A line of a stream of events."""
    return b"data: " + json.dumps(record, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n\n"


def delta(text: str | None = None, *, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    """A chunk as OpenAI writes it."""
    content = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": {**content, **fields}, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def usage(prompt: int, completion: int, **details: Any) -> dict[str, int]:
    """The usage of an answer."""
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion, **details}


def openai_stream(words: Iterable[str], counted: Mapping[str, Any] | None = None) -> Iterator[bytes]:
    """A stream as OpenAI writes it, with its end; with `counted` the usage in a chunk of its own."""
    yield event(delta("", role="assistant"))
    for word in words:
        yield event(delta(word))
    yield event(delta(finish="stop"))
    if counted:
        yield event({**delta(), "choices": [], "usage": counted})
    yield b"data: [DONE]\n\n"


def with_models(reply: Reply, *ids: str) -> Reply:
    """A server that lists these models, and gives that reply to everything that is posted."""

    def answer(request: HttpRequest) -> Iterable[object]:
        return json_reply({"data": [{"id": each} for each in ids]}) if request.method == "GET" else reply(request)

    return answer


def words_of(text: str) -> list[str]:
    """A text in pieces, each with the space before it, as tokens are."""
    first, *others = text.split(" ")
    return [first, *(f" {word}" for word in others)]
