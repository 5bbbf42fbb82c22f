"""The stream of an answer, as a browser reads it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask import Flask

from chatsite.database import db
from chatsite.models import Status
from chatsite.services.claims import Claim
from tests.web.conftest import Browser, answer_of, message_ids, read


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
    assert re.match(r"id: \d+\.0\.1\.0\n", first)
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
    "last_event_id",
    [
        "nonsense",
        "1",
        "1.1",
        "1.0.1",
        "999.0.1.0",
        "1.0.99999999999999999999.0",
        "1.9.1.0",
        "1.0.-1.0",
        "1.-0.1.0",
        "1.0.1.-1",
        "٣.٣.٣.٣",
    ],
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


def test_a_draft_is_sent_as_a_whole_and_said_to_be_one(
    alice: Browser, claim: Callable[[], Claim], say: Callable[..., None], draft: Callable[[Claim, str], None]
) -> None:
    name = answer_of(alice)
    work = claim()
    draft(work, "The cat.\n\nIt sat.\n\nThen")
    events = read(alice, name)
    first = next(events)
    assert f'hx-target="#message-{name}-text" hx-swap="innerMorph"' in first
    assert "Weighing 10 answers, 1 tokens" in first
    draft(work, "A dog.\n\nIt")
    second = next(events)
    assert f'hx-target="#message-{name}-text" hx-swap="innerMorph"' in second
    assert "A dog." in second
    assert "cat" not in second
    assert f'id="message-{name}-2"' not in second
    say(work, "", Status.DONE)
    final = next(events)
    assert "A dog." in final
    assert "Weighing" not in final
    assert next(events).startswith("event: done")


def test_what_is_added_to_a_draft_is_sent_as_what_is_added(
    alice: Browser, claim: Callable[[], Claim], say: Callable[..., None], draft: Callable[[Claim, str], None]
) -> None:
    name = answer_of(alice)
    work = claim()
    draft(work, "A dog.\n\nIt sat.\n\nThen")
    events = read(alice, name)
    next(events)
    say(work, " it left.\n\nSo")
    second = next(events)
    assert "Then it left." in second
    assert "A dog." not in second
    assert "Weighing" not in second
    assert 'hx-swap="beforeend"' in second


def test_a_browser_with_blocks_of_an_earlier_draft_is_sent_all_of_this_one(
    alice: Browser, claim: Callable[[], Claim], draft: Callable[[Claim, str], None]
) -> None:
    name = answer_of(alice)
    work = claim()
    draft(work, "The cat.\n\nIt sat.\n\nThen")
    events = read(alice, name)
    last_id = re.match(r"id: (\S+)", next(events))
    events.close()
    assert last_id
    draft(work, "A dog.\n\nIt sat.\n\nAnd")
    again = next(read(alice, name, last_id.group(1)))
    assert "A dog." in again
    assert f'hx-target="#message-{name}-text" hx-swap="innerMorph"' in again


def test_two_tabs_see_the_same_drafts(
    alice: Browser, claim: Callable[[], Claim], draft: Callable[[Claim, str], None]
) -> None:
    name = answer_of(alice)
    work = claim()
    draft(work, "The cat")
    one = read(alice, name)
    assert "The cat" in next(one)
    draft(work, "A dog")
    two = read(alice, name)
    for tab in (one, two):
        text = next(tab)
        assert "A dog" in text
        assert "cat" not in text


def test_an_answer_that_is_hastened_goes_on_in_the_same_stream(
    alice: Browser, claim: Callable[[], Claim], say: Callable[..., None], draft: Callable[[Claim, str], None]
) -> None:
    name = answer_of(alice)
    draft(claim(), "The cat.\n\nIt")
    events = read(alice, name)
    next(events)
    posted = alice.send("POST", f"/messages/{name}/haste", htmx=True)
    assert posted.status_code == 200
    assert f"#message-{name}-text" not in posted.text
    emptied = next(events)
    assert f'hx-target="#message-{name}-text" hx-swap="innerMorph"><div id="message-{name}-0"' in emptied
    assert "cat" not in emptied
    work = claim()
    assert work.preset == "balanced"
    say(work, "A bird.", Status.DONE)
    rest = "".join(events)
    assert "A bird." in rest
    assert rest.count("event: done") == 1


def test_the_page_shows_a_draft_without_javascript(
    alice: Browser, claim: Callable[[], Claim], draft: Callable[[Claim, str], None]
) -> None:
    conversation = alice.start("Hello")
    path = f"/conversations/{conversation}"
    name = message_ids(alice.get(path).text)[-1]
    work = claim()
    draft(work, "The cat")
    page = alice.get(path).text
    assert "The cat" in page
    assert "Weighing 10 answers, 1 tokens" in page
    assert "Answer faster" in page
    draft(work, "A dog")
    assert "cat" not in alice.get(path).text
    faster = alice.send("POST", f"/messages/{name}/haste")
    assert faster.headers["Location"].endswith(path)
    assert "A dog" not in alice.get(path).text
