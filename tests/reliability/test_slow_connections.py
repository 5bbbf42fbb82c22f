"""Clients that send their requests letter by letter, without a proxy in front: they hold no threads and are cut off."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import psutil
import pytest

from chatsite.web.core.gunicorn_worker import MAX_COLLECTED_HEADER, countable_network
from chatsite.web.core.timed_unreader import TimedUnreader
from tests.reliability.raw_connections import cookie_header, send_unread, site_port
from tests.support.served_site import HttpVisitor, ServedSite, running_site, wait_until

THREADS = 8
HEADER = b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "
BODY = (
    b"POST /messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    b"Content-Length: 5000\r\n\r\ntext="
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedSite]:
    """A site with few threads, which also listens where other machines would reach it."""
    folder = tmp_path_factory.mktemp("site")
    with running_site(
        folder, host="0.0.0.0", WORKERS="1", THREADS=str(THREADS), MAX_CONNECTIONS_PER_ADDRESS="16"
    ) as found:
        yield found
        assert "Traceback" not in found.log.read_text(), "a slow client is no error"


def is_closed(connection: socket.socket) -> bool:
    """Whether the other side has closed a connection, or answered and closed it."""
    connection.setblocking(False)
    try:
        return connection.recv(65536) == b"" or is_closed(connection)
    except BlockingIOError:
        return False
    except OSError:
        return True


@contextmanager
def trickle(site: ServedSite, *beginnings: bytes) -> Iterator[Callable[[], int]]:
    """Connections that have begun requests. The function sends one more letter on each, and says how many are open."""
    with send_unread(site, *beginnings) as connections:

        def send_letters() -> int:
            open_connections = [connection for connection in connections if not is_closed(connection)]
            for connection in open_connections:
                try:
                    connection.send(b"a")
                except OSError:
                    continue
            return len(open_connections)

        yield send_letters


def test_slow_requests_hold_no_threads_and_end(site: ServedSite) -> None:
    """More of them than the worker has threads: a page comes at once, and each is cut off after ten seconds."""
    started_at = time.monotonic()
    with trickle(site, *[HEADER, BODY, b"\r\n\r\n" + HEADER] * (2 * THREADS)) as send_letters:
        assert send_letters() == 6 * THREADS
        assert site.is_alive()
        assert "chatsite" in HttpVisitor(site.url).get("/")
        assert send_letters() == 6 * THREADS or time.monotonic() - started_at > 10
        wait_until(lambda: send_letters() == 0, what="The end of the slow requests")
    assert site.is_alive()


def test_header_without_end_is_refused_without_a_thread(site: ServedSite) -> None:
    with send_unread(site, *[HEADER + b"a" * MAX_COLLECTED_HEADER] * (3 * THREADS)) as connections:
        assert site.is_alive()
        for answer in map(read_to_end, connections):
            head, _, text = answer.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 431")
            assert head.endswith(b"Content-Length: %d" % len(text))


def test_connection_is_not_announced_as_kept_when_a_body_is_unread(site: ServedSite) -> None:
    """An unread body is in the way of the next request, so the connection is closed; a client must not send one."""
    chunked = BODY.replace(b"Content-Length: 5000", b"Transfer-Encoding: chunked")
    for status, request in {b"411": chunked, b"400": BODY.replace(b"5000", b"90000")}.items():
        with send_unread(site, request) as [connection]:
            answer = read_to_end(connection)
            assert answer.startswith(b"HTTP/1.1 " + status)
            assert b"\r\nConnection: close\r\n" in answer
    with send_unread(site, BODY.replace(b"5000", b"5")) as [connection]:
        answer = receive_until(connection, b"</html>")
        assert answer.startswith(b"HTTP/1.1 400")
        assert b"\r\nConnection: keep-alive\r\n" in answer


def test_body_must_keep_its_rate() -> None:
    """A form of one megabyte takes a minute at most, and nobody can send much at once to pause for hours."""
    client, server = socket.socketpair()
    with client, server:
        unreader = TimedUnreader(server)
        unreader.begin_request(b"")
        client.sendall(b"x" * 20_000)
        received = 0
        while received < 20_000:
            received += len(unreader.chunk())
        assert 10 < unreader.remaining_seconds <= 11
        for _ in range(400):
            client.sendall(b"x" * 5000)
            unreader.chunk()
        assert unreader.remaining_seconds <= 60
        unreader.remaining_seconds = 0.01
        with pytest.raises(ConnectionResetError):
            unreader.chunk()


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("::1", "::ffff:127.0.0.1", True),
    ],
)
def test_connections_count_for_a_network(one: str, other: str, is_same: bool) -> None:
    networks = [countable_network((address, 80)) for address in (one, other)]
    assert (networks[0] == networks[1]) is is_same
    assert (networks[0] == "") is (one == "::1")


def test_slow_large_bodies_hold_few_threads(site: ServedSite) -> None:
    """What is too large to be collected takes a thread, but only a quarter of them; the others are refused at once."""
    visitor = HttpVisitor(site.url)
    visitor.get("/")
    cookie = f"\r\nCookie: {cookie_header(visitor)}\r\nContent-Type".encode()
    head = BODY.replace(b"5000", b"90000").replace(b"\r\nContent-Type", cookie)
    with send_unread(site, *[head] * (3 * THREADS)) as connections:
        assert site.is_alive()
        statuses = [read_to_end(connection)[9:12] for connection in connections]
    assert set(statuses) == {b"400", b"503"}
    assert statuses.count(b"503") > 2 * THREADS


def test_body_in_pieces_arrives_whole(site: ServedSite) -> None:
    """A body that comes in three parts, larger than what is collected, and then two requests in one piece."""
    visitor = HttpVisitor(site.url)
    visitor.get("/")
    form = f"csrf_token={visitor.csrf_token}&idempotency_key=pieces&text=/say+{'b' * 20_000}end".encode()
    head = (
        f"POST /messages HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie_header(visitor)}\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(form)}\r\n\r\n"
    ).encode()
    with send_unread(site, head[:40]) as [connection]:
        for piece in (head[40:] + form[:3000], form[3000:15_000], form[15_000:]):
            connection.sendall(piece)
        # So much is too long for a message, and comes back whole to be shortened.
        answer = receive_until(connection, b"</html>")
        assert answer.startswith(b"HTTP/1.1 422")
        assert b"b" * 20_000 + b"end" in answer
    two = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2
    with send_unread(site, two[:-20]) as [connection]:
        assert receive_until(connection, b"}").count(b"HTTP/1.1 200") == 1
        connection.sendall(two[-20:])
        assert receive_until(connection, b"}").count(b"HTTP/1.1 200") == 1


def read_to_end(connection: socket.socket) -> bytes:
    """What is answered before the other side closes the connection."""
    received = b""
    try:
        while data := connection.recv(65536):
            received += data
    except ConnectionResetError:
        return received
    return received


def receive_until(connection: socket.socket, end: bytes) -> bytes:
    """What is answered up to `end`."""
    received = b""
    while end not in received:
        data = connection.recv(65536)
        assert data, received
        received += data
    return received


def test_connections_of_one_address_are_bounded(site: ServedSite) -> None:
    """Those of this machine are not, since a proxy here would speak for everybody."""
    address = find_network_address()
    with ExitStack() as stack:

        def connect() -> socket.socket:
            return stack.enter_context(socket.create_connection((address, site_port(site)), 30))

        for connection in [connect() for _ in range(16)]:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert receive_until(connection, b"}").startswith(b"HTTP/1.1 200")
        refusal = receive_until(connect(), b"soon.\n")
        assert refusal.startswith(b"HTTP/1.1 503")
        assert b"Retry-After: 5" in refusal
        assert len(refusal.partition(b"\r\n\r\n")[2]) == 52
        assert site.is_alive()
    wait_until(lambda: ask_at(address, site).startswith(b"HTTP/1.1 200"), what="A place for the next connection")


def find_network_address() -> str:
    """An address of this machine that is not the loopback; skips where there is none."""
    for entries in psutil.net_if_addrs().values():
        for entry in entries:
            if entry.family == socket.AF_INET and not entry.address.startswith("127."):
                return entry.address
    pytest.skip("NOT TESTED: this machine has no address besides the loopback.")


def ask_at(address: str, site: ServedSite) -> bytes:
    """What the site answers at this address."""
    with socket.create_connection((address, site_port(site)), 30) as connection:
        try:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return connection.recv(65536)
        except ConnectionError:
            # A connection that is refused while it sends may be reset.
            return b""


@pytest.mark.exhaustive
@pytest.mark.parametrize("count", [700, 1250])
def test_hundreds_of_slow_connections_do_not_stop_the_site(tmp_path: object, count: int) -> None:
    """With the settings of a site at home: each page that is asked for meanwhile comes within seconds."""
    with running_site(tmp_path) as found, trickle(found, *[HEADER] * count) as send_letters:  # type: ignore[arg-type]
        pages = 0

        def is_over() -> bool:
            nonlocal pages
            connection = http.client.HTTPConnection("127.0.0.1", site_port(found), timeout=8)
            connection.request("GET", "/healthz")
            pages += connection.getresponse().status == 200
            connection.close()
            return send_letters() == 0

        wait_until(is_over, what="The end of the slow requests")
        assert pages > 3
