"""Versions on the page: to edit, to answer again, to walk between them, to go on elsewhere; with htmx and without."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape

import pytest

from chatsite.models import Status
from tests.web.conftest import HTMX, Browser, message_ids, plain

Answer = Callable[..., None]


def talk(alice: Browser, answer: Answer, *questions: str) -> str:
    """A conversation of some questions, each answered; returns its public id."""
    conversation = alice.start(questions[0])
    answer(f"To {questions[0]}.")
    for question in questions[1:]:
        assert alice.ask(question, conversation).status_code == 303
        answer(f"To {question}.")
    return conversation


def ids(alice: Browser, conversation: str, query: str = "") -> list[str]:
    """The messages on the page of a conversation."""
    return message_ids(alice.get(f"/conversations/{conversation}{query}").text)


def test_editing_makes_a_version_and_keeps_the_old_one(alice: Browser, answer: Answer) -> None:
    conversation = talk(alice, answer, "One", "Two")
    before = ids(alice, conversation)
    form = alice.get(f"/messages/{before[2]}/versions")
    assert "Two" in form.text
    assert "<html" in form.text
    made = alice.send("POST", f"/messages/{before[2]}/versions", text="Zwei", token="t1")
    assert made.status_code == 303
    answer("To Zwei.")
    page = alice.get(made.headers["Location"])
    now = message_ids(page.text)
    assert now[:2] == before[:2]
    assert not set(now[2:]) & set(before)
    assert "2/2" in plain(page.text)
    assert made.headers["Location"].endswith(f"?at={now[2]}#message-{now[2]}")
    # The same form once more is the same version.
    again = alice.send("POST", f"/messages/{before[2]}/versions", text="Zwei", token="t1")
    assert again.headers["Location"] == made.headers["Location"]


def test_walking_between_versions_is_remembered(alice: Browser, answer: Answer) -> None:
    conversation = talk(alice, answer, "One", "Two")
    before = ids(alice, conversation)
    alice.send("POST", f"/messages/{before[0]}/versions", text="Uno")
    answer("To Uno.")
    assert len(ids(alice, conversation)) == 2
    back = alice.send("POST", f"/messages/{before[0]}/shown?_method=PUT")
    assert back.status_code == 303
    assert ids(alice, conversation) == before
    assert "1/2" in plain(alice.get(f"/conversations/{conversation}").text)


def test_reading_a_version_does_not_show_it_for_good(alice: Browser, answer: Answer) -> None:
    conversation = talk(alice, answer, "One", "Two")
    old = ids(alice, conversation)
    alice.send("POST", f"/messages/{old[0]}/versions", text="Uno")
    answer("To Uno.")
    new = ids(alice, conversation)
    link = alice.get(f"/messages/{old[1]}")
    assert link.status_code == 303
    assert link.headers["Location"] == f"/conversations/{conversation}?at={old[1]}#message-{old[1]}"
    page = alice.get(link.headers["Location"])
    assert message_ids(page.text) == old
    assert "You are reading another version." in page.text
    assert f'name="after" value="{old[-1]}"' in page.text
    assert ids(alice, conversation) == new
    # What is asked there goes on there.
    posted = alice.send("POST", "/messages", text="Three", conversation=conversation, after=old[-1])
    assert posted.status_code == 303
    assert ids(alice, conversation)[:4] == old


def test_htmx_gets_what_changes_and_its_place(alice: Browser, answer: Answer) -> None:
    conversation = talk(alice, answer, "One", "Two")
    old = ids(alice, conversation)
    made = alice.send("POST", f"/messages/{old[2]}/versions", htmx=True, text="Zwei")
    answer("To Zwei.")
    new = message_ids(made.text)
    assert len(new) == 2
    assert f'hx-target="#message-{old[2]} ~ *" hx-swap="delete"' in made.text
    assert f'name="after" value="{new[-1]}"' in made.text
    assert 'class="send stop"' in made.text
    form = {"from": new[0], "way": "previous"}
    back = alice.send("PUT", f"/messages/{old[2]}/shown", htmx=True, **form)
    assert message_ids(back.text) == old[2:]
    assert f'hx-target="#message-{new[0]} ~ *" hx-swap="delete"' in back.text
    assert "Version 1 of 2" in back.text
    assert back.text.count("autofocus") == 1
    assert 'class="send"' in back.text


def test_a_form_that_is_given_up_becomes_the_question_again(alice: Browser, answer: Answer) -> None:
    conversation = talk(alice, answer, "One")
    question = ids(alice, conversation)[0]
    form = alice.get(f"/messages/{question}/versions", headers=HTMX).text
    assert "<html" not in form
    assert ">\nOne</textarea>" in form
    back = alice.get(f"/messages/{question}", headers=HTMX).text
    assert message_ids(back) == [question]
    assert "autofocus" in back


@pytest.mark.parametrize("htmx", [False, True])
@pytest.mark.parametrize(
    ("text", "sentence"), [(" ", "Write something first."), ("x" * 8001, "8001 characters"), ("a\x07", "control")]
)
def test_a_bad_edit_is_said_at_its_form(alice: Browser, answer: Answer, text: str, sentence: str, htmx: bool) -> None:
    conversation = talk(alice, answer, "One")
    question = ids(alice, conversation)[0]
    refused = alice.send("POST", f"/messages/{question}/versions", htmx, text=text)
    assert refused.status_code == 422
    assert sentence in refused.text
    if htmx:
        assert refused.headers["HX-Retarget"] == "find .notice-place"
    elif text.strip() and text.isprintable():
        assert text in unescape(refused.text)
        assert f'action="/messages/{question}/versions"' in refused.text
    assert len(ids(alice, conversation)) == 2


def test_an_answer_is_written_again_beside_the_old_one(alice: Browser, answer: Answer) -> None:
    conversation = talk(alice, answer, "One", "Two")
    old = ids(alice, conversation)
    made = alice.send("POST", f"/messages/{old[1]}/versions")
    assert made.status_code == 303
    assert alice.send("POST", f"/messages/{old[1]}/versions").status_code == 409
    answer("Another answer.")
    page = alice.get(f"/conversations/{conversation}").text
    assert message_ids(page)[0] == old[0]
    assert len(message_ids(page)) == 2
    assert "Another answer." in page
    assert "2/2" in plain(page)


def test_a_model_can_be_named_to_answer_again(alice: Browser, answer: Answer) -> None:
    conversation = talk(alice, answer, "One")
    _, reply = ids(alice, conversation)
    for headers in ({}, HTMX):
        assert 'name="model" value="scripted"' in alice.get(f"/messages/{reply}/versions", headers=headers).text
    assert alice.send("POST", f"/messages/{reply}/versions", model="nobody").status_code == 409
    assert alice.send("POST", f"/messages/{reply}/versions", model="scripted").status_code == 303


def test_any_message_begins_a_conversation_of_its_own(alice: Browser, answer: Answer) -> None:
    conversation = talk(alice, answer, "One", "Two")
    messages = ids(alice, conversation)
    made = alice.send("POST", f"/messages/{messages[1]}/conversations")
    assert made.status_code == 303
    assert conversation not in made.headers["Location"]
    page = alice.get(made.headers["Location"]).text
    assert len(message_ids(page)) == 2
    assert "To One." in page
    assert not set(message_ids(page)) & set(messages)
    assert ids(alice, conversation) == messages


def test_what_is_being_written_cannot_be_left_behind(alice: Browser) -> None:
    conversation = alice.start("One")
    for message in ids(alice, conversation)[1:]:
        assert alice.send("POST", f"/messages/{message}/conversations").status_code == 409


def test_a_tab_that_was_away_is_told_of_a_new_version(alice: Browser, answer: Answer) -> None:
    conversation = talk(alice, answer, "One")
    question, reply = ids(alice, conversation)
    alice.send("POST", f"/messages/{reply}/versions")
    answer("Another answer.")
    news = alice.get(f"/conversations/{conversation}?after={reply}", headers=HTMX).text
    # It goes on to show what it shows, with a way to the other version.
    assert message_ids(news) == [reply]
    assert "1/2" in plain(news)
    assert question not in message_ids(news)


def test_a_failed_answer_offers_one_way_to_try_again(alice: Browser, answer: Answer) -> None:
    conversation = alice.start("One")
    answer("", status=Status.FAILED, reason="error")
    page = alice.get(f"/conversations/{conversation}").text
    assert "Try again" in page
    assert "Answer again" not in page


def test_an_answer_tells_when_it_was_written_and_its_words(alice: Browser, answer: Answer) -> None:
    conversation = alice.start("One")
    answer("Just four short words.")
    page = alice.get(f"/conversations/{conversation}").text
    receipt = alice.get(f"/messages/{message_ids(page)[-1]}/receipt", headers=HTMX).text
    assert "Words 4" in plain(receipt)
    for message in message_ids(page):
        assert re.search(rf'href="/messages/{message}"[^>]*><time datetime="\d{{4}}-', page)
