"""Connections as a browser, a proxy or a vandal opens them, byte for byte."""

from __future__ import annotations

import asyncio
import http.client
import re
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from html import unescape

import psutil

from tests.site import Site, Visitor

BLOCK = re.compile(r'<div id="message-[\w-]{16}-(\d+)" class="block">(.*?)</div>', re.DOTALL)
PARTIAL = re.compile(
    r'<hx-partial hx-target="#message-[\w-]{16}(?:-(\w+))?" hx-swap="(\w+)">(.*?)</hx-partial>', re.DOTALL
)


def port(site: Site) -> int:
    """The port that the site listens on."""
    return int(site.url.rpartition(":")[2])


def cookies(visitor: Visitor) -> str:
    """What a browser sends as Cookie."""
    handlers = [found for found in visitor.opener.handlers if isinstance(found, urllib.request.HTTPCookieProcessor)]
    return "; ".join(f"{cookie.name}={cookie.value}" for handler in handlers for cookie in handler.cookiejar)


def ask(site: Site, text: str, token: str = "token") -> tuple[Visitor, str, str]:
    """Have a new visitor ask; returns the visitor, the conversation and the message that is to be the answer."""
    visitor = Visitor(site.url)
    conversation = visitor.ask(text, token)
    return visitor, conversation, visitor.messages(conversation)[-1]


def stream_request(visitor: Visitor, message: str) -> bytes:
    """The request for the stream of a message."""
    lines = [f"GET /messages/{message}/stream HTTP/1.1", "Host: localhost", f"Cookie: {cookies(visitor)}"]
    return "\r\n".join([*lines, "", ""]).encode()


@contextmanager
def tab(site: Site, visitor: Visitor, message: str) -> Iterator[http.client.HTTPResponse]:
    """A stream as a tab holds it open; what it answers, with its body unread."""
    connection = http.client.HTTPConnection("127.0.0.1", port(site), timeout=30)
    try:
        connection.request("GET", f"/messages/{message}/stream", headers={"Cookie": cookies(visitor)})
        with connection.getresponse() as response:
            yield response
    finally:
        connection.close()


@contextmanager
def sent(site: Site, *payloads: bytes, room: int | None = None) -> Iterator[list[socket.socket]]:
    """Connections on which so much was sent and nothing was read; `room` is how many bytes wait for the reader."""
    with ExitStack() as stack:
        yield [stack.enter_context(_connection(site, payload, room)) for payload in payloads]


def _connection(site: Site, payload: bytes, room: int | None) -> socket.socket:
    connection = socket.socket()
    if room is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    connection.settimeout(30)
    connection.connect(("127.0.0.1", port(site)))
    connection.sendall(payload)
    return connection


def holder(site: Site, local_port: int) -> psutil.Process | None:
    """The web worker that holds the connection which comes from this local port."""
    for worker in site.workers():
        for connection in worker.net_connections("tcp"):
            if connection.raddr and connection.raddr.port == local_port:
                return worker
    return None


def held(site: Site) -> int:
    """How many connections the web workers hold."""
    return sum(len([c for c in worker.net_connections("tcp") if c.raddr]) for worker in site.workers())


@dataclass
class Seen:
    """What one reader's page showed: the blocks of the growing answer, then the settled one, then the end."""

    growing: dict[int, str] = field(default_factory=dict)
    settled: str = ""
    done: bool = False

    @property
    def grown(self) -> str:
        """The text on the page just before the answer was settled, with single spaces."""
        return " ".join(" ".join(self.growing[number] for number in sorted(self.growing)).split())

    def take(self, event: str) -> None:
        """Do to the page what the event says."""
        self.done = self.done or event.startswith("event: done")
        data = "\n".join(line.removeprefix("data: ") for line in event.split("\n") if line.startswith("data: "))
        for part, swap, body in PARTIAL.findall(data):
            if not part and swap == "outerMorph":
                self.settled = " ".join(" ".join(plain(block) for _, block in BLOCK.findall(body)).split())
            elif part == "text" and swap == "innerMorph":
                self.growing = {int(number): plain(block) for number, block in BLOCK.findall(body)}
            elif part == "text":
                self.growing |= {int(number): plain(block) for number, block in BLOCK.findall(body)}
            elif part.isdecimal():
                self.growing[int(part)] = plain(body)


def plain(html: str) -> str:
    """The text of some HTML."""
    return unescape(re.sub(r"<[^>]*>", " ", html))


async def watch(site: Site, visitor: Visitor, message: str) -> Seen:
    """Read a stream to its end."""
    seen, buffer = Seen(), ""
    reader, writer = await asyncio.open_connection("127.0.0.1", port(site))
    try:
        writer.write(stream_request(visitor, message))
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in head.split(b"\r\n")[0], head
        while not seen.done:
            buffer += (await _chunk(reader)).decode()
            *events, buffer = buffer.split("\n\n")
            for event in events:
                seen.take(event)
    finally:
        writer.close()
        await writer.wait_closed()
    return seen


async def _chunk(reader: asyncio.StreamReader) -> bytes:
    """One chunk of a chunked body, which is one event; raises IncompleteReadError when the stream is cut."""
    size = int(await reader.readuntil(b"\r\n"), 16)
    return (await reader.readexactly(size + 2))[:-2]
