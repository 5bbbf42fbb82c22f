"""Somebody who asks the site a question and reads the answer's stream, and notes when the first text came."""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from benchmarks.support.http_client import Client

TIMEOUT_SECONDS, RETRY_SECONDS = 600.0, 0.1
# The parts of an event that hold the answer's blocks.
BLOCKS = re.compile(r'hx-target="#[\w-]+-(?:\d+|text)"[^>]*>(.*?)</hx-partial>', re.DOTALL)
TAG = re.compile(r"<[^>]*>")
ANSWER = re.compile(r"/messages/([\w-]{16})/stream")


@dataclass(frozen=True)
class WatchedAnswer:
    """Seconds from the question to the first text on the page, and to the finished answer; the answer's public id."""

    first_text_seconds: float
    seconds: float
    public_id: str


def ask_and_watch(port: int, question: str, *, await_others: Callable[[], object] = lambda: None) -> WatchedAnswer:
    """Ask as somebody new, as a browser does, and read the stream to its end; `await_others` when the page is open."""
    client = Client(port)
    client.get("/")
    await_others()
    start = time.perf_counter()
    key = f"key-{time.time_ns()}"
    response = client.post_question(question, key)
    while response.status == HTTPStatus.SERVICE_UNAVAILABLE and time.perf_counter() - start < TIMEOUT_SECONDS:
        # The database was busy; the wait counts.
        time.sleep(RETRY_SECONDS)
        response = client.post_question(question, key)
    found = ANSWER.search(response.body)
    if response.status != 200 or not found:
        raise RuntimeError(f"The question was answered {response.status}: {response.body[:500]}")
    client.close()
    first_text_at = 0.0
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    connection.request("GET", f"/messages/{found[1]}/stream", headers={"Cookie": client.cookie_header})
    stream = connection.getresponse()
    event, is_over = "", False
    while not is_over:
        line = stream.readline().decode()
        event += line
        is_over = not line or line.startswith("event: done")
        if not line.strip():
            first_text_at = first_text_at or (time.perf_counter() if has_text(event) else 0.0)
            event = ""
    end = time.perf_counter()
    connection.close()
    return WatchedAnswer((first_text_at or end) - start, end - start, found[1])


def has_text(event: str) -> bool:
    """Return whether an event of the stream shows text of the answer."""
    data = "\n".join(line.removeprefix("data: ") for line in event.splitlines())
    return any(TAG.sub("", blocks).strip() for blocks in BLOCKS.findall(data))
