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

import psutil
import pytest
from pysqlite3 import dbapi2 as sqlite

from tests.reliability.wire import Seen, ask, cookies, held, holder, plain, sent, stream_request, tab, watch
from tests.site import Site, Visitor, running_site, until

ANSWERS = 30
READERS = 10
WORDS = ("agua", "river", "piedra", "stone", "noche", "luz", "canción", "word", "ñandú", "😀", "silence")


def text_of(number: int) -> str:
    """An answer of three paragraphs that no other answer has."""
    chance = random.Random(number)
    return "\n\n".join(" ".join([f"n{number}", *chance.choices(WORDS, k=40)]) for _ in range(3))


def test_a_reader_that_never_reads_gives_its_place_back(tmp_path: Path) -> None:
    settings = {"WORKERS": "1", "THREADS": "16", "STREAMS_PER_USER": "1", "STREAM_SEND_SECONDS": "1"}
    speed = {"SCRIPTED_TOKENS_PER_SECOND": "20000", "ANSWER_TOKENS": "100000"}
    with running_site(tmp_path, **settings, **speed) as site:
        # The paragraph grows without an end and is sent whole each time, which no buffer between the two can hold.
        visitor, conversation, message = ask(site, "/long 30000")
        with sent(site, stream_request(visitor, message), room=4096):
            until(lambda: status_of_stream(site, visitor, message) == 503, what="The taking of the place")
            until(lambda: "word1 " in visitor.get(f"/conversations/{conversation}"), what="The growing of the page")
            other, _, answer = ask(site, "/say somebody else is served")
            with tab(site, other, answer) as stream:
                assert "somebody else is served" in stream.read().decode()
            until(lambda: status_of_stream(site, visitor, message) == 200, what="The giving back of the place")


def status_of_stream(site: Site, visitor: Visitor, message: str) -> int:
    """What a further tab is answered that goes away at once."""
    with tab(site, visitor, message) as response:
        return response.status


def test_hundreds_of_streams_all_bring_the_whole_text(tmp_path: Path) -> None:
    settings = {"STREAMS_PER_USER": str(READERS), "QUEUE_TOTAL": "100", "SCRIPTED_TOKENS_PER_SECOND": "30"}
    with running_site(tmp_path, **settings) as site:
        asked = [(ask(site, f"/say {text_of(number)}"), text_of(number)) for number in range(ANSWERS)]
        watched = [(visitor, message) for (visitor, _, message), _ in asked]
        # A thread of its own: the browser of other tests keeps an event loop running in this one.
        with ThreadPoolExecutor(1) as thread:
            seen, others = thread.submit(lambda: asyncio.run(read_all(site, watched))).result()
        assert len(seen) == ANSWERS * READERS
        for number, page in enumerate(seen):
            text = " ".join(asked[number // READERS][1].split())
            assert page.settled == text
            assert text.startswith(page.grown)
        assert any(page.grown for page in seen), "No stream was open while its answer was written."
        assert others >= 3
        for (visitor, _, message), text in asked:
            assert visitor.text(message) == text
        until(lambda: held(site) == 0, what="The end of all connections")
        assert left_over(site) == (0, 0)


async def read_all(site: Site, streams: list[tuple[Visitor, str]]) -> tuple[list[Seen], int]:
    """Read each stream many times at once, and open other pages meanwhile; returns what was seen, and how many."""
    watching = [asyncio.create_task(watch(site, *stream)) for stream in streams for _ in range(READERS)]
    pages = 0
    while not all(task.done() for task in watching) or pages < 3:
        await asyncio.to_thread(Visitor(site.url).get, "/", 20)
        pages += 1
        await asyncio.sleep(0.1)
    return [await task for task in watching], pages


def left_over(site: Site) -> tuple[int, int]:
    """How many chunks are stored, and how many answers are not done."""
    connection = sqlite.connect(str(site.instance / "chatsite.db"), timeout=20)
    try:
        [(chunks,)] = connection.execute("SELECT count(*) FROM chunk")
        [(open_answers,)] = connection.execute("SELECT count(*) FROM generation WHERE status <> 'done'")
        return chunks, open_answers
    finally:
        connection.close()


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with two web workers and a slow writer."""
    settings = {"WORKERS": "2", "THREADS": "32", "STREAMS_PER_USER": "3", "SCRIPTED_TOKENS_PER_SECOND": "20"}
    with running_site(tmp_path_factory.mktemp("two"), **settings) as site:
        until(lambda: len(site.workers()) == 2, what="The start of both workers")
        yield site


@pytest.mark.parametrize("streaming", [0, 1])
@pytest.mark.parametrize("stopping", [0, 1])
def test_stop_reaches_the_stream_whichever_worker_gets_it(two_workers: Site, streaming: int, stopping: int) -> None:
    visitor, conversation, message = ask(two_workers, "/long 5000")
    workers = sorted(two_workers.workers(), key=lambda worker: worker.pid)
    with ExitStack() as stack:
        with only(workers[streaming], workers):
            [connection] = stack.enter_context(sent(two_workers, stream_request(visitor, message)))
            receive(connection, b"word1")
        assert holder(two_workers, connection.getsockname()[1]) == workers[streaming]
        with only(workers[stopping], workers):
            stop(visitor, message)
        receive(connection, b"event: done")
    page = plain(visitor.get(f"/conversations/{conversation}"))
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


def stop(visitor: Visitor, message: str) -> None:
    """Press Stop."""
    body = f"csrf_token={visitor.token}".encode()
    with visitor.opener.open(f"{visitor.url}/messages/{message}/stream?_method=DELETE", body, timeout=20) as response:
        assert response.status == 200


def test_a_tab_too_many_is_told_to_come_back_and_the_page_still_works(two_workers: Site) -> None:
    visitor, conversation, message = ask(two_workers, "/long 5000")
    workers = two_workers.workers()
    with only(workers[0], workers), ExitStack() as stack:
        tabs = [stack.enter_context(tab(two_workers, visitor, message)) for _ in range(3)]
        assert [response.status for response in tabs] == [200] * 3
        with tab(two_workers, visitor, message) as refused:
            assert refused.status == 503
            assert int(refused.headers["Retry-After"]) > 0
        until(lambda: "word1 " in visitor.get(f"/conversations/{conversation}"), what="The growing of the page")
        assert Visitor(two_workers.url).get("/")
        stop(visitor, message)
        assert all("event: done" in response.read().decode() for response in tabs)
    with tab(two_workers, visitor, message) as response:
        assert response.status == 200


def test_a_stranger_gets_nothing_of_a_stream(two_workers: Site) -> None:
    _, _, message = ask(two_workers, "/say a secret")
    stranger = Visitor(two_workers.url)
    stranger.get("/")
    assert cookies(stranger)
    with pytest.raises(urllib.error.HTTPError, match="404") as refused:
        stranger.get(f"/messages/{message}/stream")
    assert "a secret" not in refused.value.read().decode()
    refused.value.close()
