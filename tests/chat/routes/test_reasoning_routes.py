"""What a page and its stream say of what a model thinks, and which pages do not have it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

from flask import Flask
from sqlalchemy import update

from chatsite.database import db, utcnow, write_transaction
from chatsite.models import Generation, Status
from chatsite.services.chat.generation_leases import ClaimedGeneration
from tests.support.web_fixtures import WebClient, create_answer, iter_stream_events, message_ids, visible_text

THOUGHT = "Is <b>this</b> zzred?"
ESCAPED = "Is &lt;b&gt;this&lt;/b&gt; zzred?"
Claim = Callable[[], ClaimedGeneration]
Write = Callable[..., None]


def test_reasoning_is_folded_text_above_the_answer(alice: WebClient, claim_next: Claim, write_answer: Write) -> None:
    conversation = alice.start_conversation()
    claim = claim_next()
    write_answer(claim, reasoning=THOUGHT)
    page = alice.get(f"/conversations/{conversation}").text
    assert '<details class="reasoning">' in page
    assert f">{ESCAPED}</div>" in page
    assert re.search(r"Thinking… \d+ s · 3 tokens", page)
    write_answer(claim, "Red.", Status.DONE)
    page = alice.get(f"/conversations/{conversation}").text
    assert page.index(ESCAPED) < page.index("Red.")
    assert "Thought for 1 s · 3 tokens" in page
    assert (
        "Pensó durante 1 s · 3 tokens"
        in alice.get(f"/conversations/{conversation}", headers={"Accept-Language": "es"}).text
    )


def test_stream_adds_to_reasoning(alice: WebClient, claim_next: Claim, write_answer: Write) -> None:
    name = create_answer(alice)
    claim = claim_next()
    write_answer(claim, reasoning="Is ")
    events = iter_stream_events(alice, name)
    first = next(events)
    assert f'hx-target="#message-{name}-reasoning" hx-swap="innerMorph"' in first
    assert "The model is thinking." in first
    assert re.match(r"id: \d+\.0\.0\.0\.3\n", first)
    write_answer(claim, reasoning="it red?")
    second = next(event for event in events if "red" in event)
    assert f'hx-target="#message-{name}-reasoning-text" hx-swap="beforeend"><span>it red?</span>' in second
    assert "Is " not in second
    assert "The model is thinking." not in second
    last_id = re.match(r"id: (\S+)", second)
    events.close()
    assert last_id
    # Who comes back is sent the rest.
    write_answer(claim, reasoning=" Yes.", text="Red")
    again = next(iter_stream_events(alice, name, last_id.group(1)))
    assert "<span> Yes.</span>" in again
    assert "it red?" not in again
    assert "Thought for" in again


def test_stream_drops_reasoning_of_a_dead_runner(
    app: Flask, alice: WebClient, claim_next: Claim, write_answer: Write
) -> None:
    name = create_answer(alice)
    claim = claim_next()
    write_answer(claim, reasoning="In vain")
    events = iter_stream_events(alice, name)
    assert "In vain" in next(events)
    with app.app_context():
        with write_transaction() as tx:
            tx.execute(update(Generation).values(lease_owner="dead", lease_until=utcnow() - timedelta(1)))
        db.session.remove()
    claim_next()
    dropped = next(event for event in events if "-reasoning" in event)
    assert f'hx-target="#message-{name}-reasoning" hx-swap="innerMorph"></hx-partial>' in dropped


def test_only_the_owner_sees_reasoning(
    alice: WebClient, bob: WebClient, claim_next: Claim, write_answer: Write
) -> None:
    # The question that Bob has asked already.
    claim_next()
    conversation = alice.start_conversation()
    claim = claim_next()
    write_answer(claim, reasoning=THOUGHT)
    write_answer(claim, "Red.", Status.DONE)
    name = message_ids(alice.get(f"/conversations/{conversation}").text)[-1]
    assert bob.get(f"/messages/{name}").status_code == 404
    for path in (f"/conversations/{conversation}/print", f"/conversations/{conversation}/export?format=markdown"):
        text = alice.get(path).text
        assert "Red." in text
        assert "zzred" not in text
    report = visible_text(alice.get(f"/messages/{name}/prompt-report").text)
    assert "Tokens of reasoning" in report
