"""The stream of an answer, as a browser reads it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from flask import Flask

from chatsite.database import db
from chatsite.models import Status
from chatsite.services import claims
from chatsite.services.claims import Claim, Written
from tests.web.conftest import Browser, message_ids


@pytest.fixture
def claim(app: Flask) -> Callable[[], Claim]:
    """Takes the oldest waiting question up, as a runner does."""

    def take() -> Claim:
        with app.app_context():
            [found] = claims.claim("runner", 1, 60, 2)
            db.session.remove()
            return found

    return take


@pytest.fixture
def say(app: Flask) -> Callable[..., None]:
    """Writes at an answer, as a runner does."""

    def write(claim: Claim, text: str = "", status: Status | None = None) -> None:
        with app.app_context():
            news = Written(claim.attempt, text=text, tokens=1, status=status, reason="end")
            claims.record("runner", {claim.generation_id: news}, 60)
            db.session.remove()

    return write


def answer_of(alice: Browser, text: str = "Hello") -> str:
    conversation = alice.start(text)
    return message_ids(alice.get(f"/conversations/{conversation}").text)[-1]


def read(alice: Browser, name: str, last_event_id: str = "") -> Iterator[str]:
    """The events of a stream, one by one."""
    headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
    response = alice.client.get(f"/messages/{name}/stream", headers=headers, buffered=False)
    assert response.mimetype == "text/event-stream"
    assert response.headers["X-Accel-Buffering"] == "no"
    buffer = ""
    try:
        for part in response.response:
            buffer += part.decode() if isinstance(part, bytes) else part
            while "\n\n" in buffer:
                event, _, buffer = buffer.partition("\n\n")
                yield event
    finally:
        response.close()


def test_what_was_written_comes_first_and_then_what_is_being_written(
    alice: Browser, claim: Callable[[], Claim], say: Callable[..., None]
) -> None:
    name = answer_of(alice)
    work = claim()
    say(work, "First block.\n\nSecond\nblock ")
    events = read(alice, name)
    first = next(events)
    assert "First block." in first
    assert f'hx-target="#message-{name}-text" hx-swap="innerMorph"' in first
    assert re.match(r"id: \d+\.1\n", first)
    say(work, "that grows")
    second = next(event for event in events if "grows" in event)
    assert "First block." not in second
    say(work, " and ends.", Status.DONE)
    rest = list(events)
    assert "block that grows and ends." in rest[-2]
    assert f'hx-target="#message-{name}" hx-swap="outerMorph"' in rest[-2]
    assert rest[-1].startswith("event: done")


def test_a_browser_that_comes_back_is_sent_only_what_it_lacks(
    alice: Browser, claim: Callable[[], Claim], say: Callable[..., None]
) -> None:
    name = answer_of(alice)
    work = claim()
    say(work, "One.\n\nTwo.\n\nThree.\n\nFour")
    events = read(alice, name)
    last_id = re.match(r"id: (\S+)", next(events))
    events.close()
    assert last_id
    say(work, " goes on.\n\nFive")
    again = next(read(alice, name, last_id.group(1)))
    assert "One." not in again
    assert "Four goes on." in again
    assert 'hx-swap="beforeend"' in again


@pytest.mark.parametrize(
    "last_event_id", ["nonsense", "1", "999.1", "1.99999999999999999999", "1.-1", "٣.٣", "1.5\r\nx"[:3]]
)
def test_an_id_that_is_not_ours_starts_anew(
    alice: Browser, claim: Callable[[], Claim], say: Callable[..., None], last_event_id: str
) -> None:
    name = answer_of(alice)
    say(claim(), "One.\n\nTwo.\n\nThree")
    first = next(read(alice, name, last_event_id))
    assert "One." in first
    assert 'text" hx-swap="innerMorph"' in first


def test_a_finished_answer_ends_its_stream_at_once(
    alice: Browser, claim: Callable[[], Claim], say: Callable[..., None]
) -> None:
    name = answer_of(alice)
    say(claim(), "All of it.", Status.DONE)
    events = list(read(alice, name))
    assert len(events) == 2
    assert "All of it." in events[0]
    assert events[1].startswith("event: done")


def test_a_deleted_answer_ends_its_stream(alice: Browser, claim: Callable[[], Claim], say: Callable[..., None]) -> None:
    conversation = alice.start()
    name = message_ids(alice.get(f"/conversations/{conversation}").text)[-1]
    say(claim(), "Some")
    events = read(alice, name)
    next(events)
    alice.send("DELETE", f"/conversations/{conversation}")
    assert list(events)[-1].startswith("event: done")


def test_stop_reaches_whoever_watches(alice: Browser, app: Flask) -> None:
    name = answer_of(alice)
    events = read(alice, name)
    next(events)
    assert alice.send("DELETE", f"/messages/{name}/stream").status_code == 303
    assert list(events)[-1].startswith("event: done")


def test_a_text_with_strange_line_ends_stays_whole(
    alice: Browser, claim: Callable[[], Claim], say: Callable[..., None]
) -> None:
    name = answer_of(alice)
    say(claim(), "a\u2028b\x85c\rd event: forged\n\ndata: forged", Status.DONE)
    events = list(read(alice, name))
    assert len(events) == 2
    assert all(line.startswith(("data: ", "retry: ")) for line in events[0].split("\n"))
    assert "a\u2028b\x85c" in events[0]


def test_streams_of_one_visitor_are_bounded(app: Flask, alice: Browser, bob: Browser) -> None:
    name = answer_of(alice)
    most = app.config["STREAMS_PER_USER"]
    open_streams = [read(alice, name) for _ in range(most)]
    for stream in open_streams:
        next(stream)
    refused = alice.client.get(f"/messages/{name}/stream")
    assert refused.status_code == 503
    assert refused.headers["Retry-After"]
    assert app.extensions["places"].taken == most
    alice.send("DELETE", f"/messages/{name}/stream")
    for stream in open_streams:
        list(stream)
    assert app.extensions["places"].taken == 0


def test_a_worker_that_is_to_end_lets_its_streams_go(app: Flask, alice: Browser) -> None:
    class Worker:
        alive = True

    app.extensions["gunicorn_worker"] = worker = Worker()
    name = answer_of(alice)
    events = read(alice, name)
    next(events)
    worker.alive = False
    left = list(events)
    assert not any("event: done" in event for event in left)
    assert "Hello" in alice.get("/").text


def test_a_waiting_stream_holds_no_database_connection(app: Flask, alice: Browser) -> None:
    name = answer_of(alice)
    streams_open = [read(alice, name) for _ in range(5)]
    for stream in streams_open:
        next(stream)
    with app.app_context():
        # The hub's own one, which it keeps for PRAGMA data_version.
        assert db.engine.pool.checkedout() <= 1  # type: ignore[attr-defined]
    alice.send("DELETE", f"/messages/{name}/stream")
    for stream in streams_open:
        list(stream)


def test_positions_in_the_queue_are_told(app: Flask, alice: Browser, bob: Browser) -> None:
    name = answer_of(alice)
    first = next(read(alice, name))
    assert f'hx-target="#message-{name}-status"' in first
    assert "2" in first


def test_reading_ends_when_the_reader_goes(app: Flask, alice: Browser) -> None:
    name = answer_of(alice)
    events = read(alice, name)
    next(events)
    assert app.extensions["places"].taken == 1
    events.close()
    assert app.extensions["places"].taken == 0
