"""gunicorn's threaded worker, with connections that take no thread before their request has arrived.

gunicorn 27.0.1 reads requests in its threads: it waits without limit for the rest of one, and up to two seconds for a
client to close its connection. A reverse proxy hides this; without one a client that sends a letter now and then would
hold all threads. Here the thread that accepts connections also collects the header and a small body of each request,
and waits for clients to close. Only what is larger is read by the thread that serves the request, at a minimum rate.
"""

from __future__ import annotations

import contextlib
import errno
import re
import selectors
import socket
import time
from collections import Counter, deque
from typing import Any

from gunicorn.http.body import LengthReader
from gunicorn.workers.gthread import TConn, ThreadWorker

from chatsite.client_addresses import find_network, parse_client_address
from chatsite.web.core.timed_unreader import RECEIVE_TIMEOUT_SECONDS, TimedUnreader, slow_client_error

# For the header and a body of up to MAX_COLLECTED_BODY bytes. gunicorn bounds each field of a header; this bounds them
# together, so that no thread ever waits for the rest of one.
COLLECT_SECONDS = 10.0
MAX_COLLECTED_HEADER = 64 * 1024
MAX_COLLECTED_BODY = 16 * 1024
# How long, and for how many bytes, a client may go on sending after the last response.
LINGER_SECONDS = 2.0
MAX_DISCARDED_BYTES = 64 * 1024
RECEIVE_BYTES = 64 * 1024
LINE_END = b"\r\n"
HEADER_END = LINE_END + LINE_END
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,18})[ \t]*\r\n", re.IGNORECASE)
EXPECT = re.compile(rb"\r\nexpect:", re.IGNORECASE)
TOO_MANY_CONNECTIONS = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: 52\r\n\r\n"
    b"Too many connections from your network. Retry soon.\n"
)
HEADER_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: 38\r\n\r\n"
    b"The header of the request is too big.\n"
)


class SlowClientWorker(ThreadWorker):  # type: ignore[misc]
    """The worker class of the site.

    `max_connections_per_address` bounds the connections of one client address in this worker, of one network with IPv6;
    0 means no limit.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.max_connections_per_address = 0
        self._open_by_network: Counter[str] = Counter()
        self._lingering: deque[Connection] = deque()

    def accept(self, listener: socket.socket) -> None:
        """Accept a connection, and refuse it if its network has as many as it may."""
        try:
            client_socket, address = listener.accept()
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE}:
                # Others are closed soon; the pause keeps this loop from asking for one all the time.
                time.sleep(0.05)
            elif error.errno not in {errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK}:
                raise
            return
        connection = Connection(self, client_socket, client=address, server=listener.getsockname())
        if self._has_too_many(connection.network):
            connection.refuse()
            return
        self.nr_conns += 1
        self._open_by_network[connection.network] += 1
        self.enqueue_req(connection)

    def enqueue_req(self, conn: Connection) -> None:
        """Serve the next request of a connection as soon as it has arrived."""
        conn.take_over_buffered()
        # Encrypted bytes say nothing about the request; gunicorn decrypts them in a thread.
        if self.cfg.is_ssl or conn.has_collected():
            super().enqueue_req(conn)
            return
        if conn.has_too_large_header():
            self._end_connection(conn, HEADER_TOO_LARGE)
            return
        conn.sock.setblocking(False)
        conn.timeout = time.monotonic() + COLLECT_SECONDS
        # gunicorn closes the connections in this list when their time is over.
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, lambda _socket: self._collect(conn))

    def murder_pending(self) -> None:
        """Close connections whose request did not arrive in time, and those that their clients do not close."""
        super().murder_pending()
        while self._lingering and self._lingering[0].timeout <= time.monotonic():
            self._end_lingering(self._lingering[0])

    def linger(self, conn: Connection) -> None:
        """Close a connection once its client has read the response and closes it, or after LINGER_SECONDS.

        Closed at once while the client still sends, the connection would be reset and the response lost.
        """
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            conn.sock.setblocking(False)
            self.poller.register(conn.sock, selectors.EVENT_READ, lambda _socket: self._discard(conn))
        except OSError:
            self.release(conn)
            TConn.close(conn)
            return
        conn.timeout = time.monotonic() + LINGER_SECONDS
        self.nr_conns += 1
        self._lingering.append(conn)

    def release(self, conn: Connection) -> None:
        """Count a connection as closed."""
        self._open_by_network[conn.network] -= 1
        # Without this the counter would keep an entry for every network since the start of the worker.
        if self._open_by_network[conn.network] <= 0:
            del self._open_by_network[conn.network]

    def is_parent_alive(self) -> bool:
        """Return whether the master lives; without it the worker ends, and so do its streams, which look at `alive`."""
        has_parent = bool(super().is_parent_alive())
        if not has_parent:
            self.alive = False
        return has_parent

    def handle_request(self, req: Any, conn: Connection) -> bool:
        """Serve a request. Say that the connection is closed when a part of the body is not received."""
        has_to_close = req.should_close
        req.should_close = lambda: has_to_close() or not conn.has_received_body()
        try:
            return bool(super().handle_request(req, conn))
        except TimeoutError as error:
            # gunicorn would log a traceback for each client that does not read.
            raise slow_client_error() from error

    def _has_too_many(self, network: str) -> bool:
        limit = self.max_connections_per_address
        return bool(limit and network and self._open_by_network[network] >= limit)

    def _collect(self, conn: Connection) -> None:
        """Receive what there is of a request.

        Have it served if it is complete. Close the connection at its end, or if the header grows too large.
        """
        data = conn.receive()
        is_complete = bool(data) and conn.has_collected()
        if data is None or (data and not is_complete and not conn.has_too_large_header()):
            return
        self.poller.unregister(conn.sock)
        self.pending_conns.remove(conn)
        if is_complete:
            super().enqueue_req(conn)
        else:
            self._end_connection(conn, HEADER_TOO_LARGE if data else b"")

    def _end_connection(self, conn: Connection, last_words: bytes) -> None:
        """Close a connection that no thread has, after `last_words` if there are some."""
        self.nr_conns -= 1
        conn.say(last_words)
        conn.close(graceful=bool(last_words))

    def _discard(self, conn: Connection) -> None:
        data = conn.receive()
        conn.discarded_bytes += len(data or b"")
        conn.collected.clear()
        if data == b"" or conn.discarded_bytes > MAX_DISCARDED_BYTES:
            self._end_lingering(conn)

    def _end_lingering(self, conn: Connection) -> None:
        self._lingering.remove(conn)
        self.poller.unregister(conn.sock)
        self.nr_conns -= 1
        self.release(conn)
        TConn.close(conn)

    def _keepalive_after(self, conn: Connection, keepalive: bool) -> bool:
        """Return whether the connection can serve another request: not if a part of the body has yet to arrive.

        gunicorn would wait for it in this thread, although the response is sent.
        """
        return keepalive and conn.has_received_body() and bool(super()._keepalive_after(conn, keepalive))

    def _cap_keepalive(self, deadline: float) -> None:
        """Give requests that are still arriving no longer than idle connections once the worker stops."""
        super()._cap_keepalive(deadline)
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout, deadline)


class Connection(TConn):  # type: ignore[misc]
    """A connection with what was received of its next request. `network` is empty for a client that is not counted."""

    def __init__(self, worker: SlowClientWorker, sock: socket.socket, *, client: Any, server: Any) -> None:
        super().__init__(worker.cfg, sock, client, server)
        self.network = countable_network(client)
        self.collected = bytearray()
        self.discarded_bytes = 0
        # gunicorn need not wait for data in the thread: the request is there when a thread gets it.
        self.data_ready = not worker.cfg.is_ssl
        self._worker = worker
        self._expected_bytes = 0
        self._is_closed = False

    def init(self) -> None:
        """Prepare the connection for a request, in the thread that serves it."""
        TConn.init(self)
        self.sock.settimeout(RECEIVE_TIMEOUT_SECONDS)
        if not isinstance(self.parser.unreader, TimedUnreader):
            self.parser.unreader = TimedUnreader(self.sock)
        self.parser.unreader.begin_request(bytes(self.collected))
        self.collected.clear()
        self._expected_bytes = 0

    def receive(self) -> bytes | None:
        """Receive what there is: b"" at the end of the connection, None if there is nothing yet."""
        try:
            data: bytes = self.sock.recv(RECEIVE_BYTES)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            return b""
        self.collected += data
        return data

    def take_over_buffered(self) -> None:
        """Take what was read beyond the last request back from its parser."""
        if self.parser is not None and isinstance(self.parser.unreader, TimedUnreader):
            self.collected += self.parser.unreader.take_buffered()

    def has_collected(self) -> bool:
        """Return whether the header and the small body that it announces have arrived."""
        if not self._expected_bytes:
            # gunicorn ignores one empty line before a request.
            end = self.collected.find(HEADER_END, len(LINE_END) if self.collected.startswith(LINE_END) else 0)
            if end < 0:
                return False
            self._expected_bytes = end + len(HEADER_END)
            length = CONTENT_LENGTH.search(self.collected, 0, end + 2)
            # A client that expects to be asked for its body sends none before. A large body may be refused unread.
            if length and int(length[1]) <= MAX_COLLECTED_BODY and not EXPECT.search(self.collected, 0, end):
                self._expected_bytes += int(length[1])
        return len(self.collected) >= self._expected_bytes

    def has_too_large_header(self) -> bool:
        """Return whether so much of a header has arrived that it need not be waited for."""
        return not self._expected_bytes and len(self.collected) >= MAX_COLLECTED_HEADER

    def has_received_body(self) -> bool:
        """Return whether the body of the request that was served has arrived, whether or not it was read."""
        reader = self.parser.mesg.body.reader
        if isinstance(reader, LengthReader):
            return bool(reader.length <= self.parser.unreader.buf.getbuffer().nbytes)
        # Of a chunked body only its end says that it is all.
        return getattr(reader, "parser", None) is None

    def refuse(self) -> None:
        """Say that there are too many connections of this network, and close this one, which was not counted."""
        self.say(TOO_MANY_CONNECTIONS)
        TConn.close(self)

    def say(self, response: bytes) -> None:
        """Send a response that comes from no thread, if that can be done without waiting."""
        with contextlib.suppress(OSError):
            self.sock.send(response)

    def close(self, graceful: bool = False) -> None:
        """Close the connection; `graceful` lets the client read the last response first."""
        if self._is_closed:
            return
        self._is_closed = True
        if graceful:
            self._worker.linger(self)
        else:
            self._worker.release(self)
            TConn.close(self)


def countable_network(client: Any) -> str:
    """Return the network of a client; empty for Unix sockets and for this machine, where a proxy may speak for all."""
    address = parse_client_address(client[0]) if isinstance(client, tuple) else None
    return "" if address is None or address.is_loopback else find_network(address)
