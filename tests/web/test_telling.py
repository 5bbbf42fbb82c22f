"""What a screen reader is told by the stream of an answer."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from chatsite.models import Status
from chatsite.services.claims import Claim
from chatsite.web import telling
from tests.web.conftest import Browser, answer_of, message_ids, read


def announced(event: str) -> str:
    """What an event says to those who listen."""
    found = re.search(r'hx-target="#announcer" hx-swap="textContent">(.*?)</hx-partial>', event, re.DOTALL)
    return " ".join(found.group(1).replace("data:", "").split()) if found else ""


def test_whole_sentences_are_told_and_the_rest_at_the_end(
    alice: Browser, claim: Callable[[], Claim], say: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "PAUSE_SECONDS", 0.0)
    name = answer_of(alice)
    work = claim()
    say(work, "It is **quiet. The** wind")
    events = read(alice, name)
    first = next(events)
    assert announced(first) == "It is quiet."
    assert re.match(r"id: \d+\.0\.0\.1\n", first)
    # Who comes back has heard it.
    events.close()
    say(work, " sleeps. And")
    again = read(alice, name, "1.0.0.1")
    assert announced(next(again)) == "The wind sleeps."
    say(work, " so do I", Status.DONE)
    assert [announced(event) for event in again] == ["And so do I. The answer is finished.", ""]


def test_a_page_that_is_opened_later_says_how_much_it_has(
    alice: Browser, claim: Callable[[], Claim], say: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "PAUSE_SECONDS", 0.0)
    conversation = alice.start("Hello")
    say(claim(), "One. Two. Three")
    page = alice.get(f"/conversations/{conversation}").text
    [address] = re.findall(r'hx-sse:connect="([^"]+)"', page)
    assert address.endswith("?heard=2")
    name = message_ids(page)[-1]
    assert announced(next(read(alice, name, heard=2))) == ""
    assert announced(next(read(alice, name, heard=1))) == "Two."


def test_who_waits_is_told_where_they_stand(alice: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "PAUSE_SECONDS", 0.0)
    assert announced(next(read(alice, answer_of(alice)))) == "Waiting: no model is running at the moment."


@pytest.mark.parametrize("wish", ["states", "sentences"])
def test_sentences_are_a_wish(
    alice: Browser, claim: Callable[[], Claim], say: Callable[..., None], monkeypatch: pytest.MonkeyPatch, wish: str
) -> None:
    monkeypatch.setattr(telling, "PAUSE_SECONDS", 0.0)
    alice.client.set_cookie("chatsite_preferences", f"voice={wish}")
    name = answer_of(alice)
    work = claim()
    say(work, "One. Two")
    events = read(alice, name)
    told = [announced(next(events))]
    say(work, "", Status.DONE)
    told.append(announced(next(events)))
    aloud = ["One.", "Two. The answer is finished."]
    assert told == (aloud if wish == "sentences" else ["", "The answer is finished."])
