"""Streams by the hundred, streams that nobody reads, streams of another worker."""

from __future__ import annotations

import asyncio
import random
import socket
import urllib.error
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from pysqlite3 import dbapi2 as sqlite

from tests.reliability.raw_connections import (
    StreamPage,
    ask_as_new_visitor,
    cookie_header,
    count_connections,
    find_holding_worker,
    open_stream,
    read_stream,
    send_unread,
    stream_request,
    visible_text,
)
from tests.support.served_site import HttpVisitor, ServedSite, running_site, wait_until

ANSWERS = 16
READERS = 8
WORDS = ("agua", "river", "piedra", "stone", "noche", "luz", "canción", "word", "ñandú", "😀", "silence")


def text_of(number: int) -> str:
    """An answer of three paragraphs that no other answer has."""
    chance = random.Random(number)
    return "\n\n".join(" ".join([f"n{number}", *chance.choices(WORDS, k=40)]) for _ in range(3))


def test_stalled_reader_releases_stream_slot(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "WORKERS": "1",
        "THREADS": "16",
        "MAX_STREAMS_PER_USER": "1",
        "STREAM_SEND_TIMEOUT_SECONDS": "1",
    }
    speed: dict[str, Any] = {"SCRIPTED_TOKENS_PER_SECOND": "20000", "MAX_ANSWER_TOKENS": "100000"}
    with running_site(tmp_path, **settings, **speed) as site:
        # The paragraph grows without an end and is sent whole each time, which no buffer between the two can hold.
        visitor, conversation, message = ask_as_new_visitor(site, "/long 30000")
        with send_unread(site, stream_request(visitor, message), receive_buffer_bytes=4096):
            wait_until(lambda: status_of_stream(site, visitor, message) == 503, what="The taking of the place")
            wait_until(
                lambda: "word1 " in visitor.get(f"/conversations/{conversation}"), what="The growing of the page"
            )
            other, _, answer = ask_as_new_visitor(site, "/say somebody else is served")
            with open_stream(site, other, answer) as stream:
                assert "somebody else is served" in stream.read().decode()
            wait_until(lambda: status_of_stream(site, visitor, message) == 200, what="The giving back of the place")


def status_of_stream(site: ServedSite, visitor: HttpVisitor, message: str) -> int:
    """What a further tab is answered that goes away at once."""
    with open_stream(site, visitor, message) as response:
        return response.status


def test_many_streams_deliver_full_text(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "MAX_STREAMS_PER_USER": str(READERS),
        "MAX_QUEUED": "100",
        "LIMIT_ADDRESSES": "0",
        "SCRIPTED_TOKENS_PER_SECOND": "30",
    }
    with running_site(tmp_path, **settings) as site:
        asked = [(ask_as_new_visitor(site, f"/say {text_of(number)}"), text_of(number)) for number in range(ANSWERS)]
        watched = [(visitor, message) for (visitor, _, message), _ in asked]
        # A thread of its own: the browser of other tests keeps an event loop running in this one.
        with ThreadPoolExecutor(1) as thread:
            seen, others = thread.submit(lambda: asyncio.run(read_all(site, watched))).result()
        assert len(seen) == ANSWERS * READERS
        for number, page in enumerate(seen):
            text = " ".join(asked[number // READERS][1].split())
            assert page.final_text == text
            assert text.startswith(page.growing_text)
        assert any(page.growing_text for page in seen), "No stream was open while its answer was written."
        assert others >= 3
        for (visitor, _, message), text in asked:
            assert visitor.get_message_text(message) == text
        wait_until(lambda: count_connections(site) == 0, what="The end of all connections")
        assert left_over(site) == (0, 0)


async def read_all(site: ServedSite, streams: list[tuple[HttpVisitor, str]]) -> tuple[list[StreamPage], int]:
    """Read each stream many times at once, and open other pages meanwhile; returns what was seen, and how many."""
    watching = [asyncio.create_task(read_stream(site, *stream)) for stream in streams for _ in range(READERS)]
    pages = 0
    while not all(task.done() for task in watching) or pages < 3:
        await asyncio.to_thread(HttpVisitor(site.url).get, "/")
        pages += 1
        await asyncio.sleep(0.1)
    return [await task for task in watching], pages


def left_over(site: ServedSite) -> tuple[int, int]:
    """How many chunks are stored, and how many answers are not done."""
    connection = sqlite.connect(str(site.instance / "chatsite.db"), timeout=20)
    try:
        [(chunks,)] = connection.execute("SELECT count(*) FROM chunk")
        [(open_answers,)] = connection.execute("SELECT count(*) FROM generation WHERE status <> 'done'")
        return chunks, open_answers
    finally:
        connection.close()


@pytest.fixture(scope="module")
def two_worker_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedSite]:
    """A site with two web workers and a slow writer."""
    settings: dict[str, Any] = {
        "WORKERS": "2",
        "THREADS": "32",
        "MAX_STREAMS_PER_USER": "3",
        "SCRIPTED_TOKENS_PER_SECOND": "20",
    }
    with running_site(tmp_path_factory.mktemp("two"), **settings) as site:
        wait_until(lambda: len(site.list_workers()) == 2, what="The start of both workers")
        yield site


@pytest.mark.parametrize("streaming", [0, 1])
@pytest.mark.parametrize("stopping", [0, 1])
def test_stop_reaches_stream_across_workers(two_worker_site: ServedSite, streaming: int, stopping: int) -> None:
    visitor, conversation, message = ask_as_new_visitor(two_worker_site, "/long 5000")
    workers = sorted(two_worker_site.list_workers(), key=lambda worker: worker.pid)
    with ExitStack() as stack:
        with only(workers[streaming], workers):
            [connection] = stack.enter_context(send_unread(two_worker_site, stream_request(visitor, message)))
            receive(connection, b"word1")
        assert find_holding_worker(two_worker_site, connection.getsockname()[1]) == workers[streaming]
        with only(workers[stopping], workers):
            stop(visitor, message)
        receive(connection, b"event: done")
    page = visible_text(visitor.get(f"/conversations/{conversation}"))
    assert "word1" in page
    assert "word5000" not in page


def receive(connection: socket.socket, end: bytes) -> bytes:
    """Read a connection until something comes."""
    received = b""
    while end not in received:
        data = connection.recv(65536)
        assert data, f"The stream was cut before {end!r}."
        received += data
    return received


@contextmanager
def only(chosen: psutil.Process, workers: list[psutil.Process]) -> Iterator[None]:
    """While the block runs one of the workers accepts all connections, because the others do not run."""
    others = [worker for worker in workers if worker != chosen]
    for worker in others:
        worker.suspend()
    try:
        yield
    finally:
        for worker in others:
            worker.resume()


def stop(visitor: HttpVisitor, message: str) -> None:
    """Press Stop."""
    body = f"csrf_token={visitor.csrf_token}".encode()
    with visitor.opener.open(f"{visitor.url}/messages/{message}/stream?_method=DELETE", body, timeout=60) as response:
        assert response.status == 200


def test_excess_stream_gets_503_and_page_still_works(two_worker_site: ServedSite) -> None:
    visitor, conversation, message = ask_as_new_visitor(two_worker_site, "/long 5000")
    workers = two_worker_site.list_workers()
    with only(workers[0], workers), ExitStack() as stack:
        tabs = [stack.enter_context(open_stream(two_worker_site, visitor, message)) for _ in range(3)]
        assert [response.status for response in tabs] == [200] * 3
        with open_stream(two_worker_site, visitor, message) as refused:
            assert refused.status == 503
            assert int(refused.headers["Retry-After"]) > 0
        wait_until(lambda: "word1 " in visitor.get(f"/conversations/{conversation}"), what="The growing of the page")
        assert HttpVisitor(two_worker_site.url).get("/")
        stop(visitor, message)
        assert all("event: done" in response.read().decode() for response in tabs)
    with open_stream(two_worker_site, visitor, message) as response:
        assert response.status == 200


def test_streams_of_an_address_leave_room_for_others(tmp_path: Path) -> None:
    """New users cost nothing, so an address that makes many of them gets no more streams than it may have."""
    settings: dict[str, Any] = {"WORKERS": "1", "THREADS": "32", "MAX_STREAMS_PER_ADDRESS": "3"}
    with running_site(tmp_path, **settings, SCRIPTED_TOKENS_PER_SECOND="20") as site, ExitStack() as stack:
        asked = [ask_as_new_visitor(site, "/long 5000") for _ in range(4)]
        watched = [(visitor, message) for visitor, _, message in asked]
        tabs = [stack.enter_context(open_stream(site, *stream)) for stream in watched[:3]]
        assert [response.status for response in tabs] == [200] * 3
        with open_stream(site, *watched[3]) as refused:
            assert refused.status == 503
            assert int(refused.headers["Retry-After"]) > 0
            assert "Too many open answers" in refused.read().decode()
        # Without a stream the page shows what is there when it is loaded.
        visitor, conversation, message = asked[3]
        wait_until(lambda: "word1 " in visitor.get(f"/conversations/{conversation}"), what="The growing of the page")
        with open_stream(site, visitor, message, address="127.0.0.2") as elsewhere:
            assert elsewhere.status == 200
        stop(*watched[0])
        assert "event: done" in tabs[0].read().decode()
        wait_until(lambda: status_of_stream(site, visitor, message) == 200, what="The giving back of the place")


def test_outsider_cannot_read_stream(two_worker_site: ServedSite) -> None:
    _, _, message = ask_as_new_visitor(two_worker_site, "/say a secret")
    stranger = HttpVisitor(two_worker_site.url)
    stranger.get("/")
    assert cookie_header(stranger)
    with pytest.raises(urllib.error.HTTPError, match="404") as refused:
        stranger.get(f"/messages/{message}/stream")
    assert "a secret" not in refused.value.read().decode()
    refused.value.close()
