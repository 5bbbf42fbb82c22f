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
from tests.conftest import close_app, make_app
from tests.support.web_fixtures import HTMX_HEADERS, WebClient, message_ids


def test_post_redirects_to_conversation(alice: WebClient) -> None:
    response = alice.post_question("Why is the sky blue?")
    assert response.status_code == 303
    page = alice.get(response.headers["Location"])
    assert page.status_code == 200
    assert page.text.count("Why is the sky blue?") >= 2


def test_htmx_post_returns_turn_sidebar_and_url(alice: WebClient) -> None:
    response = alice.post_question("Why is the sky blue?", htmx=True)
    assert response.status_code == 200
    assert response.headers["HX-Push-Url"].startswith("/conversations/")
    assert len(message_ids(response.text)) == 2
    assert 'hx-target="#conversations"' in response.text
    assert "<html" not in response.text


def test_duplicate_post_returns_same_turn(alice: WebClient) -> None:
    first = alice.post_question("Hello", idempotency_key="t1")
    assert alice.post_question("Hello", idempotency_key="t1").headers["Location"] == first.headers["Location"]
    assert len(message_ids(alice.get(first.headers["Location"]).text)) == 2


MISTAKES = [
    ("", 422, "Write a message first."),
    (" \n ", 422, "Write a message first."),
    ("x" * 8001, 422, "8,001 characters"),
]


@pytest.mark.parametrize("htmx", [False, True])
@pytest.mark.parametrize(("text", "status", "sentence"), MISTAKES)
def test_invalid_message_shows_error_and_keeps_text(
    alice: WebClient, text: str, status: int, sentence: str, htmx: bool
) -> None:
    response = alice.post_question(text, htmx=htmx)
    assert response.status_code == status
    assert sentence in response.text
    if not htmx and text.strip():
        assert text in unescape(response.text)
    if htmx:
        assert response.headers["HX-Retarget"] == "#notice"
        assert "HX-Push-Url" not in response.headers


def test_errors_use_browser_language(alice: WebClient) -> None:
    alice.get("/")
    spanish = {"Accept-Language": "es-MX,es;q=0.9,en;q=0.5"}
    response = alice.client.post("/messages", data={"csrf_token": alice.csrf_token, "text": ""}, headers=spanish)
    assert response.status_code == 422
    assert '<html lang="es"' in response.text
    assert "Write a message" not in response.text


@pytest.mark.parametrize("htmx", [False, True])
def test_post_during_generation_of_another_branch_gets_409(
    alice: WebClient, finish_answers: Callable[..., None], htmx: bool
) -> None:
    conversation = alice.start_conversation()
    finish_answers()
    question, answer = message_ids(alice.get(f"/conversations/{conversation}").text)
    alice.send_form("POST", f"/messages/{question}/versions", text="Another version")
    form = {"text": "One more thing", "conversation": conversation, "parent": answer}
    response = alice.send_form("POST", "/messages", htmx, **form)
    assert response.status_code == 409
    assert "still being written" in response.text
    assert htmx or "One more thing" in response.text


@pytest.mark.parametrize("htmx", [False, True])
def test_post_to_deleted_conversation_gets_404(
    alice: WebClient, finish_answers: Callable[..., None], htmx: bool
) -> None:
    conversation = alice.start_conversation()
    finish_answers()
    assert alice.send_form("DELETE", f"/conversations/{conversation}").status_code == 303
    response = alice.post_question("One more thing", conversation, htmx=htmx)
    assert response.status_code == 404
    assert "was deleted" in response.text
    assert htmx or "One more thing" in response.text


@pytest.mark.parametrize("htmx", [False, True])
def test_post_to_full_queue_gets_503(alice: WebClient, htmx: bool) -> None:
    for _ in range(3):
        alice.start_conversation()
    response = alice.post_question("One too many", htmx=htmx)
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    assert "several answers in progress" in response.text
    assert htmx or "One too many" in response.text
    assert alice.get("/").text.count('<li id="conversation-') == 3


def test_post_to_locked_database_gets_503(tmp_path: Path) -> None:
    app = make_app(tmp_path, SQLITE_BUSY_TIMEOUT_MS=50)
    alice = WebClient(app.test_client())
    alice.get("/")
    other = sqlite.connect(str(tmp_path / "chatsite.db"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    response = alice.post_question("Keep this")
    other.execute("ROLLBACK")
    other.close()
    assert response.status_code == 503
    assert "Retry-After" in response.headers
    assert "database is busy" in response.text
    assert "Keep this" in response.text
    assert alice.post_question("Keep this").status_code == 303
    close_app(app)


def test_post_with_full_disk_gets_507(app: Flask, alice: WebClient) -> None:
    alice.get("/")
    with app.app_context():
        db.engine.dispose()

        @event.listens_for(db.engine, "connect")
        def no_more_room(connection, _record) -> None:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count={pages}")

    response = alice.post_question("Keep this " * 700)
    assert response.status_code == 507
    assert "disk is full" in response.text
    assert "Keep this" in response.text
    assert alice.get("/").status_code == 200


def test_earlier_messages_are_paginated(alice: WebClient, finish_answers: Callable[..., None]) -> None:
    conversation = alice.start_conversation("Question 0")
    finish_answers("Answer 0")
    for number in range(1, 35):
        assert alice.post_question(f"Question {number}.", conversation).status_code == 303
        finish_answers(f"Answer {number}.")
    page = alice.get(f"/conversations/{conversation}")
    newest = message_ids(page.text)
    assert len(newest) == 60
    assert "Question 34." in page.text
    earlier = alice.get(f"/conversations/{conversation}?before={newest[0]}", headers=HTMX_HEADERS)
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
def test_retry_and_continue_depend_on_generation_status(
    alice: WebClient, finish_answers: Callable[..., None], status: Status, reason: str, mode: str, works: bool
) -> None:
    conversation = alice.start_conversation()
    finish_answers("Beginning", status=status, reason=reason)
    page = alice.get(f"/conversations/{conversation}").text
    assert (f'value="{mode}"' in page) is works
    message = message_ids(page)[-1]
    response = alice.send_form("POST", f"/messages/{message}/generations", mode=mode)
    assert response.status_code == (303 if works else 409)
    if works:
        finish_answers(" and end")
        text = alice.get(f"/messages/{message}/text").text
        assert text == ("Beginning and end" if mode == "continue" else " and end")


def test_text_endpoint_returns_raw_markdown(alice: WebClient, finish_answers: Callable[..., None]) -> None:
    conversation = alice.start_conversation()
    finish_answers("**Bold** <b>and</b>")
    message = message_ids(alice.get(f"/conversations/{conversation}").text)[-1]
    response = alice.get(f"/messages/{message}/text")
    assert response.text == "**Bold** <b>and</b>"
    assert response.mimetype == "text/plain"


@pytest.mark.parametrize("answer", ["\u200b", "# ", "\u2800"])
def test_answer_with_nothing_to_be_seen_says_so(
    alice: WebClient, finish_answers: Callable[..., None], answer: str
) -> None:
    conversation = alice.start_conversation()
    finish_answers(answer)
    assert "The model returned an empty answer." in alice.get(f"/conversations/{conversation}").text
    shared = alice.send_form("POST", f"/conversations/{conversation}/shares", lifetime="never")
    assert "No answer." in alice.get(f"/shared/{shared.headers['Location'].rpartition('#share-')[2]}").text


def test_question_keeps_its_first_indentation(alice: WebClient) -> None:
    conversation = alice.start_conversation("\r\n    def f():\r\n        return 1\r\n")
    assert 'dir="auto">    def f():\n        return 1</p>' in alice.get(f"/conversations/{conversation}").text
