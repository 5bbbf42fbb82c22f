"""Requests that no browser sends: half of them, broken ones, huge ones. None is a 500, and none ends a worker."""

from __future__ import annotations

import socket
import time
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest

from tests.reliability.raw_connections import (
    ask_as_new_visitor,
    cookie_header,
    find_holding_worker,
    open_stream,
    send_unread,
)
from tests.support.served_site import HttpVisitor, ServedSite, running_site, wait_until

THREADS = 24
HEAD = b"Host: localhost\r\nConnection: close\r\n"
FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"
MULTIPART = b"Content-Type: multipart/form-data; boundary=x\r\n"


def post(path: bytes, body: bytes, headers: bytes = FORM) -> bytes:
    """A POST whose body is as long as it says."""
    return b"POST %s HTTP/1.1\r\n%s%sContent-Length: %d\r\n\r\n%s" % (path, HEAD, headers, len(body), body)


def get(path: bytes, headers: bytes = b"") -> bytes:
    """A GET."""
    return b"GET %s HTTP/1.1\r\n%s%s\r\n" % (path, HEAD, headers)


MALFORMED = {
    "percent sign alone": get(b"/?text=%"),
    "percent encoding of no number": get(b"/conversations/%zz%1"),
    "percent encoded NUL": get(b"/conversations/%00%00"),
    "percent encoded invalid UTF-8": get(b"/conversations/%ff%fe?before=%ff%fe"),
    "percent encoded slashes and dots": get(b"/static/%2e%2e%2f%2e%2e%2fwsgi.py"),
    "percent encoded NUL in a file name": get(b"/static/css/app%00.css"),
    "file name longer than any": get(b"/static/" + b"a" * 3000),
    "cursor of nonsense": get(b"/conversations?before=" + b"9" * 2000),
    "cursor with a NUL": get(b"/conversations?before=a%00b"),
    "deep query": get(b"/?" + b"[]" * 1500 + b"=1"),
    "thousands of parameters": get(b"/?" + b"a&" * 1500),
    "method of the query": post(b"/conversations?_method=%00DELETE", b""),
    "unknown method": b"BREW / HTTP/1.1\r\n" + HEAD + b"\r\n",
    "enormous header": get(b"/", b"X: " + b"x" * 100_000 + b"\r\n"),
    "a thousand headers": get(b"/", b"".join(b"X-%d: 1\r\n" % number for number in range(1000))),
    "enormous cookie": get(b"/", b"Cookie: chatsite_visitor=" + b"x" * 8000 + b"\r\n"),
    "cookies of nonsense": get(
        b"/", b"Cookie: chatsite_session=\xff\xfe; chatsite_visitor=\xff; chatsite_timezone=../x\r\n"
    ),
    "language of nonsense": get(b"/", b"Accept-Language: \xff;q=x,,;;q=-1,*;q=nan\r\n"),
    "htmx of nonsense": get(b"/conversations", b"HX-Request: true\r\nHX-Current-URL: http://[::1\r\n"),
    "range of nonsense": get(b"/static/app.css", b"Range: bytes=9-1,-,x\r\nIf-Modified-Since: \xff\r\n"),
    "event id of nonsense": get(b"/messages/aaaaaaaaaaaaaaaa/stream", b"Last-Event-ID: \xff.\xb2\r\n"),
    "two hosts": b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: elsewhere\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
    "host of nonsense": b"GET / HTTP/1.1\r\nHost: [::1\r\nConnection: close\r\n\r\n",
    "no HTTP at all": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 300 + b"\r\n\r\n",
    "version of nonsense": b"GET / HTTP/9.9\r\n" + HEAD + b"\r\n",
    "address of another site": get(b"http://elsewhere.example/"),
    "length of nonsense": b"POST /messages HTTP/1.1\r\n" + HEAD + FORM + b"Content-Length: -1\r\n\r\n",
    "length and chunks": b"POST /messages HTTP/1.1\r\n"
    + HEAD
    + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks of nonsense": b"POST /messages HTTP/1.1\r\n" + HEAD + FORM + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "form that is no UTF-8": post(b"/messages", b"text=%ff%fe&idempotency_key=\xff&csrf_token=\xff\xfe"),
    "form with NULs": post(b"/messages", b"text=a%00b&idempotency_key=%00&conversation=%00&csrf_token=%00"),
    "form with every field twice": post(
        b"/messages", b"text=a&text=b&idempotency_key=a&idempotency_key=b&csrf_token=a&csrf_token=b"
    ),
    "form of thousands of fields": post(b"/messages", b"a=1&" * 5000),
    "form that is too large": post(b"/messages", b"text=" + b"a" * 400_000),
    "JSON": post(b"/messages", b'{"text": ', b"Content-Type: application/json\r\n"),
    "no content type": post(b"/messages", b"text=a", b""),
    "content type of nonsense": post(b"/messages", b"text=a", b"Content-Type: \xff/;;charset=\xff;=\r\n"),
    "charset of nonsense": post(b"/messages", b"text=a", FORM[:-2] + b"; charset=no-such\r\n"),
    "multipart without a boundary": post(b"/messages", b"--x\r\n", b"Content-Type: multipart/form-data\r\n"),
    "multipart without an end": post(
        b"/messages", b'--x\r\nContent-Disposition: form-data; name="text"\r\n\r\na', MULTIPART
    ),
    "multipart without a name": post(
        b"/messages", b"--x\r\nContent-Disposition: form-data\r\n\r\na\r\n--x--\r\n", MULTIPART
    ),
    "multipart of nonsense": post(b"/messages", b"\xff\x00" * 500, MULTIPART),
    "multipart with a file": post(
        b"/messages",
        b'--x\r\nContent-Disposition: form-data; name="text"; filename="a"\r\n\r\na\r\n--x--\r\n',
        MULTIPART,
    ),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedSite]:
    """A site with one web worker and few threads."""
    settings: dict[str, Any] = {"WORKERS": "1", "THREADS": str(THREADS), "SCRIPTED_TOKENS_PER_SECOND": "1000"}
    with running_site(tmp_path_factory.mktemp("site"), **settings) as found:
        yield found


def answer(connection: socket.socket) -> bytes:
    """What is answered, up to the end or to where the other side hangs up."""
    received = b""
    try:
        while data := connection.recv(65536):
            received += data
            if b"\r\n\r\n" in received and b"chunked" not in received.split(b"\r\n\r\n")[0]:
                break
    except ConnectionResetError:
        return received
    return received


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_request_causes_no_500_or_worker_exit(site: ServedSite, name: str) -> None:
    workers = [worker.pid for worker in site.list_workers()]
    with send_unread(site, MALFORMED[name]) as [connection]:
        head = answer(connection)[:32]
    assert not head or 200 <= int(head.split()[1]) < 500, head
    assert HttpVisitor(site.url).get("/")
    assert [worker.pid for worker in site.list_workers()] == workers


@pytest.mark.parametrize("name", [name for name in MALFORMED if name.startswith(("form", "multipart", "JSON"))])
def test_malformed_body_with_csrf_token_causes_no_500(site: ServedSite, name: str) -> None:
    """With the CSRF token in a header, so that the body is read by more than the check of that token."""
    visitor = HttpVisitor(site.url)
    visitor.get("/")
    token = f"X-CSRFToken: {visitor.csrf_token}\r\nCookie: {cookie_header(visitor)}\r\n".encode()
    with send_unread(site, MALFORMED[name].replace(HEAD, HEAD + token)) as [connection]:
        head = answer(connection)[:32]
    assert 200 <= int(head.split()[1]) < 500, head


def half_requests(visitor: HttpVisitor) -> list[bytes]:
    """Beginnings of requests whose senders then say nothing more."""
    headers = FORM + f"Cookie: {cookie_header(visitor)}\r\n".encode()
    whole = post(b"/messages", urllib.parse.urlencode({"text": "a" * 500}).encode(), headers)
    return [b"G", b"GET / HT", b"GET / HTTP/1.1\r\nHost: loc", whole[: whole.index(b"\r\n\r\n") + 20]]


def test_incomplete_requests_do_not_block_others(site: ServedSite) -> None:
    visitor, _, _ = ask_as_new_visitor(site, "/say before")
    workers = [worker.pid for worker in site.list_workers()]
    with send_unread(site, *half_requests(visitor) * (THREADS // 8)) as connections:
        wait_until(
            lambda: all(find_holding_worker(site, found.getsockname()[1]) for found in connections),
            what="Their acceptance",
        )
        other, conversation, message = ask_as_new_visitor(site, "/say all the same")
        with open_stream(site, other, message) as stream:
            assert "all the same" in stream.read().decode()
        assert "all the same" in other.get(f"/conversations/{conversation}")
    assert [worker.pid for worker in site.list_workers()] == workers


def test_lingering_connections_do_not_block_others(site: ServedSite) -> None:
    """gunicorn gives each of them two seconds, which must not be everybody's."""
    # One after the other they would take forty.
    end = time.monotonic() + 30
    with send_unread(site, *[get(b"/healthz")] * 20):
        for _ in range(10):
            assert HttpVisitor(site.url).get("/healthz", timeout=max(end - time.monotonic(), 0.01))
