"""What a screen reader is told by the stream of an answer."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from chatsite.models import Status
from chatsite.services.chat.generation_leases import ClaimedGeneration
from chatsite.web.chat import announcements
from tests.support.web_fixtures import WebClient, create_answer, iter_stream_events, message_ids


def announced(event: str) -> str:
    """What an event says to those who listen."""
    found = re.search(r'hx-target="#announcer" hx-swap="textContent">(.*?)</hx-partial>', event, re.DOTALL)
    return " ".join(found.group(1).replace("data:", "").split()) if found else ""


def test_announcements_are_whole_sentences_until_end(
    alice: WebClient,
    claim_next: Callable[[], ClaimedGeneration],
    write_answer: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(announcements, "ANNOUNCEMENT_PAUSE_SECONDS", 0.0)
    name = create_answer(alice)
    work = claim_next()
    write_answer(work, "It is **quiet. The** wind")
    events = iter_stream_events(alice, name)
    first = next(events)
    assert announced(first) == "It is quiet."
    assert re.match(r"id: \d+\.0\.0\.1\.0\n", first)
    # Who comes back has heard it.
    events.close()
    write_answer(work, " sleeps. And")
    again = iter_stream_events(alice, name, "1.0.0.1.0")
    assert announced(next(again)) == "The wind sleeps."
    write_answer(work, " so do I", Status.DONE)
    assert [announced(event) for event in again] == ["And so do I. Answer finished.", ""]


def test_page_passes_count_of_rendered_sentences(
    alice: WebClient,
    claim_next: Callable[[], ClaimedGeneration],
    write_answer: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(announcements, "ANNOUNCEMENT_PAUSE_SECONDS", 0.0)
    conversation = alice.start_conversation("Hello")
    write_answer(claim_next(), "One. Two. Three")
    page = alice.get(f"/conversations/{conversation}").text
    [address] = re.findall(r'hx-sse:connect="([^"]+)"', page)
    assert address.endswith("?announced=2")
    name = message_ids(page)[-1]
    assert announced(next(iter_stream_events(alice, name, announced=2))) == ""
    assert announced(next(iter_stream_events(alice, name, announced=1))) == "Two."


def test_waiting_status_is_announced(alice: WebClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcements, "ANNOUNCEMENT_PAUSE_SECONDS", 0.0)
    assert announced(next(iter_stream_events(alice, create_answer(alice)))) == "Waiting: no model is running."


@pytest.mark.parametrize("requested", ["states", "sentences"])
def test_announced_sentences_follow_voice_preference(
    alice: WebClient,
    claim_next: Callable[[], ClaimedGeneration],
    write_answer: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    requested: str,
) -> None:
    monkeypatch.setattr(announcements, "ANNOUNCEMENT_PAUSE_SECONDS", 0.0)
    alice.client.set_cookie("chatsite_preferences", f"voice={requested}")
    name = create_answer(alice)
    work = claim_next()
    write_answer(work, "One. Two")
    events = iter_stream_events(alice, name)
    told = [announced(next(events))]
    write_answer(work, "", Status.DONE)
    told.append(announced(next(events)))
    spoken = ["One.", "Two. Answer finished."]
    assert told == (spoken if requested == "sentences" else ["", "Answer finished."])
