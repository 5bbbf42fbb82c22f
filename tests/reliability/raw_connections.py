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
from typing import Any

import psutil

from tests.support.served_site import HttpVisitor, ServedSite

# The blocks of a growing answer have numbers; those of a finished one need none.
BLOCK_PATTERN = re.compile(
    r'<div(?: id="message-[\w-]{16}-(\d+)")? class="block"(?: id="message-[\w-]{16}-\d+")?>(.*?)</div>', re.DOTALL
)
PARTIAL_PATTERN = re.compile(
    r'<hx-partial hx-target="#message-[\w-]{16}(?:-(\w+))?" hx-swap="(\w+)">(.*?)</hx-partial>', re.DOTALL
)


def site_port(site: ServedSite) -> int:
    """The port that the site listens on."""
    return int(site.url.rpartition(":")[2])


def cookie_header(visitor: HttpVisitor) -> str:
    """What a browser sends as Cookie."""
    opener: Any = visitor.opener
    handlers = [processor for processor in opener.handlers if isinstance(processor, urllib.request.HTTPCookieProcessor)]
    return "; ".join(f"{cookie.name}={cookie.value}" for handler in handlers for cookie in handler.cookiejar)


def ask_as_new_visitor(site: ServedSite, text: str, token: str = "token") -> tuple[HttpVisitor, str, str]:
    """Have a new visitor ask; returns the visitor, the conversation and the message that is to be the answer."""
    visitor = HttpVisitor(site.url)
    conversation = visitor.post_question(text, token)
    return visitor, conversation, visitor.list_message_ids(conversation)[-1]


def stream_request(visitor: HttpVisitor, message: str) -> bytes:
    """The request for the stream of a message."""
    lines = [f"GET /messages/{message}/stream HTTP/1.1", "Host: localhost", f"Cookie: {cookie_header(visitor)}"]
    return "\r\n".join([*lines, "", ""]).encode()


@contextmanager
def open_stream(
    site: ServedSite, visitor: HttpVisitor, message: str, address: str = "127.0.0.1"
) -> Iterator[http.client.HTTPResponse]:
    """A stream as a tab at an address of this machine holds it open; what it answers, with its body unread."""
    connection = http.client.HTTPConnection("127.0.0.1", site_port(site), timeout=60, source_address=(address, 0))
    try:
        connection.request("GET", f"/messages/{message}/stream", headers={"Cookie": cookie_header(visitor)})
        with connection.getresponse() as response:
            yield response
    finally:
        connection.close()


@contextmanager
def send_unread(
    site: ServedSite, *payloads: bytes, receive_buffer_bytes: int | None = None
) -> Iterator[list[socket.socket]]:
    """Connections on which so much was sent and nothing was read; `receive_buffer_bytes` is how many bytes wait for the
    reader.
    """
    with ExitStack() as stack:
        yield [stack.enter_context(_connect_and_send(site, payload, receive_buffer_bytes)) for payload in payloads]


def _connect_and_send(site: ServedSite, payload: bytes, receive_buffer_bytes: int | None) -> socket.socket:
    connection = socket.socket()
    if receive_buffer_bytes is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
    connection.settimeout(60)
    connection.connect(("127.0.0.1", site_port(site)))
    connection.sendall(payload)
    return connection


def find_holding_worker(site: ServedSite, local_port: int) -> psutil.Process | None:
    """The web worker that holds the connection which comes from this local port."""
    for worker in site.list_workers():
        for connection in worker.net_connections("tcp"):
            if connection.raddr and connection.raddr.port == local_port:
                return worker
    return None


def count_connections(site: ServedSite) -> int:
    """How many connections the web workers hold."""
    return sum(
        len([connection for connection in worker.net_connections("tcp") if connection.raddr])
        for worker in site.list_workers()
    )


@dataclass
class StreamPage:
    """What one reader's page showed: the blocks of the growing answer, then the settled one, then the end."""

    growing_blocks: dict[int, str] = field(default_factory=dict)
    final_text: str = ""
    is_done: bool = False

    @property
    def growing_text(self) -> str:
        """The text on the page just before the answer was settled, with single spaces."""
        return " ".join(" ".join(self.growing_blocks[number] for number in sorted(self.growing_blocks)).split())

    def apply_event(self, event: str) -> None:
        """Do to the page what the event says."""
        self.is_done = self.is_done or event.startswith("event: done")
        data = "\n".join(line.removeprefix("data: ") for line in event.split("\n") if line.startswith("data: "))
        for part, swap, body in PARTIAL_PATTERN.findall(data):
            if not part and swap == "outerMorph":
                self.final_text = " ".join(
                    " ".join(visible_text(block) for _, block in BLOCK_PATTERN.findall(body)).split()
                )
            elif part == "text" and swap == "innerMorph":
                self.growing_blocks = {
                    int(number): visible_text(block) for number, block in BLOCK_PATTERN.findall(body)
                }
            elif part == "text":
                self.growing_blocks |= {
                    int(number): visible_text(block) for number, block in BLOCK_PATTERN.findall(body)
                }
            elif part.isdecimal():
                self.growing_blocks[int(part)] = visible_text(body)


def visible_text(html: str) -> str:
    """The text of some HTML."""
    return unescape(re.sub(r"<[^>]*>", " ", html))


async def read_stream(site: ServedSite, visitor: HttpVisitor, message: str) -> StreamPage:
    """Read a stream to its end."""
    page, buffer = StreamPage(), ""
    reader, writer = await asyncio.open_connection("127.0.0.1", site_port(site))
    try:
        writer.write(stream_request(visitor, message))
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in head.split(b"\r\n")[0], head
        while not page.is_done:
            buffer += (await _read_chunk(reader)).decode()
            *events, buffer = buffer.split("\n\n")
            for event in events:
                page.apply_event(event)
    finally:
        writer.close()
        await writer.wait_closed()
    return page


async def _read_chunk(reader: asyncio.StreamReader) -> bytes:
    """One chunk of a chunked body, which is one event; raises IncompleteReadError when the stream is cut."""
    size = int(await reader.readuntil(b"\r\n"), 16)
    return (await reader.readexactly(size + 2))[:-2]
