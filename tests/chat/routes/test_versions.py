"""Versions on the page: to edit, to answer again, to walk between them, to go on elsewhere; with htmx and without."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape

import pytest

from chatsite.models import Status
from tests.support.web_fixtures import HTMX_HEADERS, WebClient, message_ids, visible_text

Answer = Callable[..., None]


def talk(alice: WebClient, answer: Answer, *questions: str) -> str:
    """A conversation of some questions, each answered; returns its public id."""
    conversation = alice.start_conversation(questions[0])
    answer(f"To {questions[0]}.")
    for question in questions[1:]:
        assert alice.post_question(question, conversation).status_code == 303
        answer(f"To {question}.")
    return conversation


def ids(alice: WebClient, conversation: str, query: str = "") -> list[str]:
    """The messages on the page of a conversation."""
    return message_ids(alice.get(f"/conversations/{conversation}{query}").text)


def test_editing_creates_version_and_keeps_old(alice: WebClient, finish_answers: Answer) -> None:
    conversation = talk(alice, finish_answers, "One", "Two")
    before = ids(alice, conversation)
    form = alice.get(f"/messages/{before[2]}/versions")
    assert "Two" in form.text
    assert "<html" in form.text
    made = alice.send_form("POST", f"/messages/{before[2]}/versions", text="Zwei", idempotency_key="t1")
    assert made.status_code == 303
    finish_answers("To Zwei.")
    page = alice.get(made.headers["Location"])
    now = message_ids(page.text)
    assert now[:2] == before[:2]
    assert not set(now[2:]) & set(before)
    assert "2/2" in visible_text(page.text)
    assert made.headers["Location"].endswith(f"?message={now[2]}#message-{now[2]}")
    # The same form once more is the same version.
    again = alice.send_form("POST", f"/messages/{before[2]}/versions", text="Zwei", idempotency_key="t1")
    assert again.headers["Location"] == made.headers["Location"]


def test_selected_version_is_remembered(alice: WebClient, finish_answers: Answer) -> None:
    conversation = talk(alice, finish_answers, "One", "Two")
    before = ids(alice, conversation)
    alice.send_form("POST", f"/messages/{before[0]}/versions", text="Uno")
    finish_answers("To Uno.")
    assert len(ids(alice, conversation)) == 2
    back = alice.send_form("POST", f"/messages/{before[0]}/active-version?_method=PUT")
    assert back.status_code == 303
    assert ids(alice, conversation) == before
    assert "1/2" in visible_text(alice.get(f"/conversations/{conversation}").text)


def test_permalink_to_other_version_keeps_selected_version(alice: WebClient, finish_answers: Answer) -> None:
    conversation = talk(alice, finish_answers, "One", "Two")
    old = ids(alice, conversation)
    alice.send_form("POST", f"/messages/{old[0]}/versions", text="Uno")
    finish_answers("To Uno.")
    new = ids(alice, conversation)
    link = alice.get(f"/messages/{old[1]}")
    assert link.status_code == 303
    assert link.headers["Location"] == f"/conversations/{conversation}?message={old[1]}#message-{old[1]}"
    page = alice.get(link.headers["Location"])
    assert message_ids(page.text) == old
    assert "You are viewing another version." in page.text
    assert f'name="parent" value="{old[-1]}"' in page.text
    assert ids(alice, conversation) == new
    # What is asked there goes on there.
    posted = alice.send_form("POST", "/messages", text="Three", conversation=conversation, parent=old[-1])
    assert posted.status_code == 303
    assert ids(alice, conversation)[:4] == old


def test_htmx_version_change_returns_targeted_partials(alice: WebClient, finish_answers: Answer) -> None:
    conversation = talk(alice, finish_answers, "One", "Two")
    old = ids(alice, conversation)
    made = alice.send_form("POST", f"/messages/{old[2]}/versions", htmx=True, text="Zwei")
    finish_answers("To Zwei.")
    new = message_ids(made.text)
    assert len(new) == 2
    assert f'hx-target="#message-{old[2]} ~ *" hx-swap="delete"' in made.text
    assert f'name="parent" value="{new[-1]}"' in made.text
    assert 'class="send stop"' in made.text
    form = {"from": new[0], "direction": "previous"}
    back = alice.send_form("PUT", f"/messages/{old[2]}/active-version", htmx=True, **form)
    assert message_ids(back.text) == old[2:]
    assert f'hx-target="#message-{new[0]} ~ *" hx-swap="delete"' in back.text
    assert "Version 1 of 2" in back.text
    assert back.text.count("autofocus") == 1
    assert 'class="send"' in back.text


def test_canceled_edit_form_shows_question_again(alice: WebClient, finish_answers: Answer) -> None:
    conversation = talk(alice, finish_answers, "One")
    question = ids(alice, conversation)[0]
    form = alice.get(f"/messages/{question}/versions", headers=HTMX_HEADERS).text
    assert "<html" not in form
    assert ">\nOne</textarea>" in form
    back = alice.get(f"/messages/{question}", headers=HTMX_HEADERS).text
    assert message_ids(back) == [question]
    assert "autofocus" in back


@pytest.mark.parametrize("htmx", [False, True])
@pytest.mark.parametrize(
    ("text", "sentence"),
    [(" ", "Write a message first."), ("x" * 8001, "8,001 characters"), ("\x07\u2800", "Write a message first.")],
)
def test_invalid_edit_shows_error_at_form(
    alice: WebClient, finish_answers: Answer, text: str, sentence: str, htmx: bool
) -> None:
    conversation = talk(alice, finish_answers, "One")
    question = ids(alice, conversation)[0]
    refused = alice.send_form("POST", f"/messages/{question}/versions", htmx, text=text)
    assert refused.status_code == 422
    assert sentence in refused.text
    if htmx:
        assert refused.headers["HX-Retarget"] == "find .notice-region"
    elif text.strip() and text.isprintable():
        assert text in unescape(refused.text)
        assert f'action="/messages/{question}/versions"' in refused.text
    assert len(ids(alice, conversation)) == 2


def test_regenerate_adds_answer_version(alice: WebClient, finish_answers: Answer) -> None:
    conversation = talk(alice, finish_answers, "One", "Two")
    old = ids(alice, conversation)
    made = alice.send_form("POST", f"/messages/{old[1]}/versions")
    assert made.status_code == 303
    assert alice.send_form("POST", f"/messages/{old[1]}/versions").status_code == 409
    finish_answers("Another answer.")
    page = alice.get(f"/conversations/{conversation}").text
    assert message_ids(page)[0] == old[0]
    assert len(message_ids(page)) == 2
    assert "Another answer." in page
    assert "2/2" in visible_text(page)


def test_regenerate_accepts_available_model_only(alice: WebClient, finish_answers: Answer) -> None:
    conversation = talk(alice, finish_answers, "One")
    _, reply = ids(alice, conversation)
    for headers in ({}, HTMX_HEADERS):
        menu = alice.get(f"/messages/{reply}/versions", headers=headers).text
        assert 'name="preset" value="precise"' in menu
        assert 'name="model" value="scripted"' not in menu, "the model that answered is a click away"
        assert 'name="variation"' not in menu, "it follows no instructions"
    assert alice.send_form("POST", f"/messages/{reply}/versions", variation="shorter").status_code == 422
    assert alice.send_form("POST", f"/messages/{reply}/versions", preset="wild").status_code == 422
    assert alice.send_form("POST", f"/messages/{reply}/versions", model="nobody").status_code == 409
    assert alice.send_form("POST", f"/messages/{reply}/versions", model="scripted").status_code == 303


def test_menu_of_answer_offers_what_applies(alice: WebClient, bob: WebClient, finish_answers: Answer) -> None:
    conversation = talk(alice, finish_answers, "One")
    question, reply = ids(alice, conversation)
    for headers in ({}, HTMX_HEADERS):
        menu = alice.get(f"/messages/{reply}/actions", headers=headers).text
        for part in ("Copy as Markdown", "Branch into a new chat", f"leaf={reply}", f"/messages/{reply}/prompt-report"):
            assert part in menu
    assert alice.get(f"/messages/{question}/actions").status_code == 404
    assert bob.get(f"/messages/{reply}/actions").status_code == 404
    passing = alice.send_form("POST", "/messages", text="Gone soon", temporary="1").headers["Location"]
    finish_answers("Briefly.")
    menu = alice.get(f"/messages/{message_ids(alice.get(passing).text)[-1]}/actions").text
    assert "Copy as Markdown" in menu
    assert "Branch into a new chat" not in menu
    assert "leaf=" not in menu


def test_branch_becomes_new_conversation(alice: WebClient, finish_answers: Answer) -> None:
    conversation = talk(alice, finish_answers, "One", "Two")
    messages = ids(alice, conversation)
    made = alice.send_form("POST", f"/messages/{messages[1]}/conversations")
    assert made.status_code == 303
    assert conversation not in made.headers["Location"]
    page = alice.get(made.headers["Location"]).text
    assert len(message_ids(page)) == 2
    assert "To One." in page
    assert not set(message_ids(page)) & set(messages)
    assert ids(alice, conversation) == messages


def test_cannot_branch_during_generation(alice: WebClient) -> None:
    conversation = alice.start_conversation("One")
    for message in ids(alice, conversation)[1:]:
        assert alice.send_form("POST", f"/messages/{message}/conversations").status_code == 409


def test_stale_tab_gets_new_version_count(alice: WebClient, finish_answers: Answer) -> None:
    conversation = talk(alice, finish_answers, "One")
    question, reply = ids(alice, conversation)
    alice.send_form("POST", f"/messages/{reply}/versions")
    finish_answers("Another answer.")
    news = alice.get(f"/conversations/{conversation}?parent={reply}", headers=HTMX_HEADERS).text
    # It goes on to show what it shows, with a way to the other version.
    assert message_ids(news) == [reply]
    assert "1/2" in visible_text(news)
    assert question not in message_ids(news)


def test_failed_answer_offers_only_retry(alice: WebClient, finish_answers: Answer) -> None:
    conversation = alice.start_conversation("One")
    finish_answers("", status=Status.FAILED, reason="error")
    page = alice.get(f"/conversations/{conversation}").text
    assert "Try again" in page
    assert "Regenerate" not in page


def test_answer_shows_time_and_word_count(alice: WebClient, finish_answers: Answer) -> None:
    conversation = alice.start_conversation("One")
    finish_answers("Just four short words.")
    page = alice.get(f"/conversations/{conversation}").text
    report = alice.get(f"/messages/{message_ids(page)[-1]}/prompt-report", headers=HTMX_HEADERS).text
    assert "Words 4" in visible_text(report)
    question, answer = message_ids(page)
    assert re.search(rf'href="/messages/{question}" title="\w+ \d+, \d{{4}}, \d+:\d\d[^"]*">\d+:\d\d', page)
    spanish = alice.get(f"/conversations/{conversation}", headers={"Accept-Language": "es"}).text
    assert re.search(rf'href="/messages/{question}" title="\d+ \w+ \d{{4}}, \d+:\d\d">\d+:\d\d', spanish)
    assert re.search(r'<time [^>]*datetime="\d{4}-', alice.get(f"/messages/{answer}/actions").text)
