"""Asking on the page: every mistake gets a sentence, the right status, and keeps what was typed."""

from __future__ import annotations

from collections.abc import Callable
from html import unescape
from pathlib import Path

import pytest
from flask import Flask
from pysqlite3 import dbapi2 as sqlite
from sqlalchemy import event

from chatsite.database import db
from chatsite.models import Status
from tests.conftest import close, make_app
from tests.web.conftest import HTMX, Browser, message_ids


def test_a_question_leads_to_its_conversation(alice: Browser) -> None:
    response = alice.ask("Why is the sky blue?")
    assert response.status_code == 303
    page = alice.get(response.headers["Location"])
    assert page.status_code == 200
    assert page.text.count("Why is the sky blue?") >= 2


def test_htmx_gets_the_turn_the_list_and_the_address(alice: Browser) -> None:
    response = alice.ask("Why is the sky blue?", htmx=True)
    assert response.status_code == 200
    assert response.headers["HX-Push-Url"].startswith("/conversations/")
    assert len(message_ids(response.text)) == 2
    assert 'hx-target="#conversations"' in response.text
    assert "<html" not in response.text


def test_posting_the_same_form_again_gives_the_same_turn(alice: Browser) -> None:
    first = alice.ask("Hello", token="t1")
    assert alice.ask("Hello", token="t1").headers["Location"] == first.headers["Location"]
    assert len(message_ids(alice.get(first.headers["Location"]).text)) == 2


MISTAKES = [
    ("", 422, "Write something first."),
    (" \n ", 422, "Write something first."),
    ("x" * 8001, 422, "8001 characters"),
    ("typed\x07text", 422, "control characters"),
]


@pytest.mark.parametrize("htmx", [False, True])
@pytest.mark.parametrize(("text", "status", "sentence"), MISTAKES)
def test_a_mistake_is_said_and_what_was_typed_is_kept(
    alice: Browser, text: str, status: int, sentence: str, htmx: bool
) -> None:
    response = alice.ask(text, htmx=htmx)
    assert response.status_code == status
    assert sentence in response.text
    if not htmx and text.strip() and text.isprintable():
        assert text in unescape(response.text)
    if htmx:
        assert response.headers["HX-Retarget"] == "#notice"
        assert "HX-Push-Url" not in response.headers


def test_mistakes_are_said_in_the_language_of_the_browser(alice: Browser) -> None:
    alice.get("/")
    spanish = {"Accept-Language": "es-MX,es;q=0.9,en;q=0.5"}
    response = alice.client.post("/messages", data={"csrf_token": alice.token, "text": ""}, headers=spanish)
    assert response.status_code == 422
    assert '<html lang="es"' in response.text
    assert "Write something" not in response.text


@pytest.mark.parametrize("htmx", [False, True])
def test_posting_while_an_answer_is_written(alice: Browser, htmx: bool) -> None:
    conversation = alice.start()
    response = alice.ask("One more thing", conversation, htmx=htmx)
    assert response.status_code == 409
    assert "still being written" in response.text
    assert htmx or "One more thing" in response.text


@pytest.mark.parametrize("htmx", [False, True])
def test_posting_to_a_deleted_conversation(alice: Browser, answer: Callable[..., None], htmx: bool) -> None:
    conversation = alice.start()
    answer()
    assert alice.send("DELETE", f"/conversations/{conversation}").status_code == 303
    response = alice.ask("One more thing", conversation, htmx=htmx)
    assert response.status_code == 404
    assert "it was deleted" in response.text
    assert htmx or "One more thing" in response.text


@pytest.mark.parametrize("htmx", [False, True])
def test_a_full_queue(alice: Browser, htmx: bool) -> None:
    for _ in range(3):
        alice.start()
    response = alice.ask("One too many", htmx=htmx)
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    assert "waiting for several answers" in response.text
    assert htmx or "One too many" in response.text
    assert alice.get("/").text.count('<li id="conversation-') == 3


def test_a_locked_database(tmp_path: Path) -> None:
    app = make_app(tmp_path, BUSY_MS=50)
    alice = Browser(app.test_client())
    alice.get("/")
    other = sqlite.connect(str(tmp_path / "chatsite.db"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    response = alice.ask("Keep this")
    other.execute("ROLLBACK")
    other.close()
    assert response.status_code == 503
    assert "Retry-After" in response.headers
    assert "database is busy" in response.text
    assert "Keep this" in response.text
    assert alice.ask("Keep this").status_code == 303
    close(app)


def test_a_full_disk(app: Flask, alice: Browser) -> None:
    alice.get("/")
    with app.app_context():
        db.engine.dispose()

        @event.listens_for(db.engine, "connect")
        def no_more_room(connection, _record) -> None:  # type: ignore[no-untyped-def]
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count={pages}")

    response = alice.ask("Keep this " * 700)
    assert response.status_code == 507
    assert "disk is full" in response.text
    assert "Keep this" in response.text
    assert alice.get("/").status_code == 200


def test_earlier_messages_load_a_page_at_a_time(alice: Browser, answer: Callable[..., None]) -> None:
    conversation = alice.start("Question 0")
    answer("Answer 0")
    for number in range(1, 35):
        assert alice.ask(f"Question {number}.", conversation).status_code == 303
        answer(f"Answer {number}.")
    page = alice.get(f"/conversations/{conversation}")
    newest = message_ids(page.text)
    assert len(newest) == 60
    assert "Question 34." in page.text
    earlier = alice.get(f"/conversations/{conversation}?before={newest[0]}", headers=HTMX)
    assert len(message_ids(earlier.text)) == 10
    assert "<html" not in earlier.text
    assert not set(message_ids(earlier.text)) & set(newest)
    whole = alice.get(f"/conversations/{conversation}?before={newest[0]}")
    assert message_ids(whole.text) == message_ids(earlier.text)
    assert "<html" in whole.text


@pytest.mark.parametrize(
    ("status", "reason", "mode", "works"),
    [
        (Status.FAILED, "error", "retry", True),
        (Status.INTERRUPTED, "crashed", "retry", True),
        (Status.INTERRUPTED, "crashed", "continue", True),
        (Status.DONE, "length", "continue", True),
        (Status.DONE, "end", "retry", False),
        (Status.DONE, "end", "continue", False),
        (Status.FAILED, "error", "continue", False),
    ],
)
def test_retry_and_continue(
    alice: Browser, answer: Callable[..., None], status: Status, reason: str, mode: str, works: bool
) -> None:
    conversation = alice.start()
    answer("Beginning", status=status, reason=reason)
    page = alice.get(f"/conversations/{conversation}").text
    assert (f'value="{mode}"' in page) is works
    message = message_ids(page)[-1]
    response = alice.send("POST", f"/messages/{message}/generations", mode=mode)
    assert response.status_code == (303 if works else 409)
    if works:
        answer(" and end")
        text = alice.get(f"/messages/{message}/text").text
        assert text == ("Beginning and end" if mode == "continue" else " and end")


def test_copying_gives_the_text_as_it_was_written(alice: Browser, answer: Callable[..., None]) -> None:
    conversation = alice.start()
    answer("**Bold** <b>and</b>")
    message = message_ids(alice.get(f"/conversations/{conversation}").text)[-1]
    response = alice.get(f"/messages/{message}/text")
    assert response.text == "**Bold** <b>and</b>"
    assert response.mimetype == "text/plain"
