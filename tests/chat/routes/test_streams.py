"""The stream of an answer, as a browser reads it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask import Flask

from chatsite.database import db
from chatsite.models import Status
from chatsite.services.chat.generation_leases import ClaimedGeneration
from tests.support.web_fixtures import WebClient, create_answer, iter_stream_events, message_ids


def test_stream_sends_existing_text_then_updates(
    alice: WebClient, claim_next: Callable[[], ClaimedGeneration], write_answer: Callable[..., None]
) -> None:
    name = create_answer(alice)
    work = claim_next()
    write_answer(work, "First block.\n\nSecond\nblock ")
    events = iter_stream_events(alice, name)
    first = next(events)
    assert "First block." in first
    assert f'hx-target="#message-{name}-text" hx-swap="innerMorph"' in first
    assert re.match(r"id: \d+\.0\.1\.0\.0\n", first)
    write_answer(work, "that grows")
    second = next(event for event in events if "grows" in event)
    assert "First block." not in second
    write_answer(work, " and ends.", Status.DONE)
    rest = list(events)
    assert "block that grows and ends." in rest[-2]
    assert f'hx-target="#message-{name}" hx-swap="outerMorph"' in rest[-2]
    assert rest[-1].startswith("event: done")


def test_reconnect_sends_only_missing_blocks(
    alice: WebClient, claim_next: Callable[[], ClaimedGeneration], write_answer: Callable[..., None]
) -> None:
    name = create_answer(alice)
    work = claim_next()
    write_answer(work, "One.\n\nTwo.\n\nThree.\n\nFour")
    events = iter_stream_events(alice, name)
    last_id = re.match(r"id: (\S+)", next(events))
    events.close()
    assert last_id
    write_answer(work, " goes on.\n\nFive")
    again = next(iter_stream_events(alice, name, last_id.group(1)))
    assert "One." not in again
    assert "Four goes on." in again
    assert 'hx-swap="beforeend"' in again


@pytest.mark.parametrize(
    "last_event_id",
    [
        "nonsense",
        "1",
        "1.1",
        "1.0.1.0",
        "999.0.1.0.0",
        "1.0.99999999999999999999.0.0",
        "1.9.1.0.0",
        "1.0.-1.0.0",
        "1.-0.1.0.0",
        "1.0.1.-1.0",
        "1.0.1.0.-1",
        "٣.٣.٣.٣.٣",
    ],
)
def test_invalid_last_event_id_restarts_stream(
    alice: WebClient, claim_next: Callable[[], ClaimedGeneration], write_answer: Callable[..., None], last_event_id: str
) -> None:
    name = create_answer(alice)
    write_answer(claim_next(), "One.\n\nTwo.\n\nThree")
    first = next(iter_stream_events(alice, name, last_event_id))
    assert "One." in first
    assert 'text" hx-swap="innerMorph"' in first


def test_finished_answer_ends_stream_immediately(
    alice: WebClient, claim_next: Callable[[], ClaimedGeneration], write_answer: Callable[..., None]
) -> None:
    name = create_answer(alice)
    write_answer(claim_next(), "All of it.", Status.DONE)
    events = list(iter_stream_events(alice, name))
    assert len(events) == 2
    assert "All of it." in events[0]
    assert events[1].startswith("event: done")


def test_deleted_conversation_ends_stream(
    alice: WebClient, claim_next: Callable[[], ClaimedGeneration], write_answer: Callable[..., None]
) -> None:
    conversation = alice.start_conversation()
    name = message_ids(alice.get(f"/conversations/{conversation}").text)[-1]
    write_answer(claim_next(), "Some")
    events = iter_stream_events(alice, name)
    next(events)
    alice.send_form("DELETE", f"/conversations/{conversation}")
    assert list(events)[-1].startswith("event: done")


def test_stop_ends_open_streams(alice: WebClient, app: Flask) -> None:
    name = create_answer(alice)
    events = iter_stream_events(alice, name)
    next(events)
    assert alice.send_form("DELETE", f"/messages/{name}/stream").status_code == 303
    assert list(events)[-1].startswith("event: done")


def test_unusual_line_breaks_do_not_split_events(
    alice: WebClient, claim_next: Callable[[], ClaimedGeneration], write_answer: Callable[..., None]
) -> None:
    name = create_answer(alice)
    write_answer(claim_next(), "a\u2028b\x85c\rd event: forged\n\ndata: forged", Status.DONE)
    events = list(iter_stream_events(alice, name))
    assert len(events) == 2
    assert all(line.startswith(("data: ", "retry: ")) for line in events[0].split("\n"))
    assert "a\u2028b\x85c" in events[0]


def test_streams_per_user_are_limited(app: Flask, alice: WebClient, bob: WebClient) -> None:
    name = create_answer(alice)
    most = app.config["MAX_STREAMS_PER_USER"]
    open_streams = [iter_stream_events(alice, name) for _ in range(most)]
    for stream in open_streams:
        next(stream)
    refused = alice.client.get(f"/messages/{name}/stream")
    assert refused.status_code == 503
    assert refused.headers["Retry-After"]
    assert app.extensions["stream_limiter"].open_count == most
    alice.send_form("DELETE", f"/messages/{name}/stream")
    for stream in open_streams:
        list(stream)
    assert app.extensions["stream_limiter"].open_count == 0


def test_stopping_worker_closes_streams(app: Flask, alice: WebClient) -> None:
    class Worker:
        alive = True

    app.extensions["gunicorn_worker"] = worker = Worker()
    name = create_answer(alice)
    events = iter_stream_events(alice, name)
    next(events)
    worker.alive = False
    left = list(events)
    assert not any("event: done" in event for event in left)
    assert "Hello" in alice.get("/").text


def test_idle_stream_holds_no_database_connection(app: Flask, alice: WebClient) -> None:
    name = create_answer(alice)
    streams_open = [iter_stream_events(alice, name) for _ in range(5)]
    for stream in streams_open:
        next(stream)
    with app.app_context():
        # The hub's own one, which it keeps for PRAGMA data_version.
        assert db.engine.pool.checkedout() <= 1  # type: ignore[attr-defined]
    alice.send_form("DELETE", f"/messages/{name}/stream")
    for stream in streams_open:
        list(stream)


def test_stream_sends_queue_position(app: Flask, alice: WebClient, bob: WebClient) -> None:
    name = create_answer(alice)
    first = next(iter_stream_events(alice, name))
    assert f'hx-target="#message-{name}-status"' in first
    assert "2" in first


def test_closed_stream_releases_slot(app: Flask, alice: WebClient) -> None:
    name = create_answer(alice)
    events = iter_stream_events(alice, name)
    next(events)
    assert app.extensions["stream_limiter"].open_count == 1
    events.close()
    assert app.extensions["stream_limiter"].open_count == 0


def test_draft_is_sent_whole_with_status(
    alice: WebClient,
    claim_next: Callable[[], ClaimedGeneration],
    write_answer: Callable[..., None],
    write_provisional: Callable[[ClaimedGeneration, str], None],
) -> None:
    name = create_answer(alice)
    work = claim_next()
    write_provisional(work, "The cat.\n\nIt sat.\n\nThen")
    events = iter_stream_events(alice, name)
    first = next(events)
    assert f'hx-target="#message-{name}-text" hx-swap="innerMorph"' in first
    assert "Comparing 10 drafts, 1 tokens" in first
    write_provisional(work, "A dog.\n\nIt")
    second = next(events)
    assert f'hx-target="#message-{name}-text" hx-swap="innerMorph"' in second
    assert "A dog." in second
    assert "cat" not in second
    assert f'id="message-{name}-2"' not in second
    write_answer(work, "", Status.DONE)
    final = next(events)
    assert "A dog." in final
    assert "Comparing" not in final
    assert next(events).startswith("event: done")


def test_text_appended_to_draft_is_sent_incrementally(
    alice: WebClient,
    claim_next: Callable[[], ClaimedGeneration],
    write_answer: Callable[..., None],
    write_provisional: Callable[[ClaimedGeneration, str], None],
) -> None:
    name = create_answer(alice)
    work = claim_next()
    write_provisional(work, "A dog.\n\nIt sat.\n\nThen")
    events = iter_stream_events(alice, name)
    next(events)
    write_answer(work, " it left.\n\nSo")
    second = next(events)
    assert "Then it left." in second
    # It may be announced by now, but is not written again.
    assert "A dog.</p>" not in second
    assert "Comparing" not in second
    assert 'hx-swap="beforeend"' in second


def test_reconnect_after_draft_change_resends_everything(
    alice: WebClient,
    claim_next: Callable[[], ClaimedGeneration],
    write_provisional: Callable[[ClaimedGeneration, str], None],
) -> None:
    name = create_answer(alice)
    work = claim_next()
    write_provisional(work, "The cat.\n\nIt sat.\n\nThen")
    events = iter_stream_events(alice, name)
    last_id = re.match(r"id: (\S+)", next(events))
    events.close()
    assert last_id
    write_provisional(work, "A dog.\n\nIt sat.\n\nAnd")
    again = next(iter_stream_events(alice, name, last_id.group(1)))
    assert "A dog." in again
    assert f'hx-target="#message-{name}-text" hx-swap="innerMorph"' in again


def test_two_tabs_receive_same_drafts(
    alice: WebClient,
    claim_next: Callable[[], ClaimedGeneration],
    write_provisional: Callable[[ClaimedGeneration, str], None],
) -> None:
    name = create_answer(alice)
    work = claim_next()
    write_provisional(work, "The cat")
    one = iter_stream_events(alice, name)
    assert "The cat" in next(one)
    write_provisional(work, "A dog")
    two = iter_stream_events(alice, name)
    for tab in (one, two):
        text = next(tab)
        assert "A dog" in text
        assert "cat" not in text


def test_faster_answer_continues_in_same_stream(
    alice: WebClient,
    claim_next: Callable[[], ClaimedGeneration],
    write_answer: Callable[..., None],
    write_provisional: Callable[[ClaimedGeneration, str], None],
) -> None:
    name = create_answer(alice)
    write_provisional(claim_next(), "The cat.\n\nIt")
    events = iter_stream_events(alice, name)
    next(events)
    posted = alice.send_form("POST", f"/messages/{name}/generations", htmx=True, mode="fast")
    assert posted.status_code == 200
    assert f"#message-{name}-text" not in posted.text
    emptied = next(events)
    assert f'hx-target="#message-{name}-text" hx-swap="innerMorph"><div id="message-{name}-0"' in emptied
    assert "cat" not in emptied
    work = claim_next()
    assert work.preset == "balanced"
    write_answer(work, "A bird.", Status.DONE)
    rest = "".join(events)
    assert "A bird." in rest
    assert rest.count("event: done") == 1


def test_page_shows_current_draft_without_javascript(
    alice: WebClient,
    claim_next: Callable[[], ClaimedGeneration],
    write_provisional: Callable[[ClaimedGeneration, str], None],
) -> None:
    conversation = alice.start_conversation("Hello")
    path = f"/conversations/{conversation}"
    name = message_ids(alice.get(path).text)[-1]
    work = claim_next()
    write_provisional(work, "The cat")
    page = alice.get(path).text
    assert "The cat" in page
    assert "Comparing 10 drafts, 1 tokens" in page
    assert "Answer faster" in page
    write_provisional(work, "A dog")
    assert "The cat" not in alice.get(path).text
    faster = alice.send_form("POST", f"/messages/{name}/generations", mode="fast")
    assert faster.headers["Location"].endswith(path)
    assert "A dog" not in alice.get(path).text
