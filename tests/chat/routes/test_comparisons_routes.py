"""Comparing: who is asked, what the page shows, and going on with one."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask import Flask

from chatsite.database import db
from tests.personas.test_personas_routes import BLENDER, SMOL, put
from tests.support.web_fixtures import WebClient, message_ids, visible_text

Answer = Callable[..., None]


@pytest.fixture(autouse=True)
def _ready_models(app: Flask) -> None:
    put(app, SMOL, BLENDER)


def compare(browser: WebClient, *models: str, htmx: bool = False, **form: str) -> str:
    """Ask several models; returns the address of the conversation, or for htmx what comes back."""
    browser.get("/")
    headers = {"HX-Request": "true", "HX-Request-Type": "partial"} if htmx else {}
    data = {"csrf_token": browser.csrf_token, "text": "Hello", "idempotency_key": "t", "compare": list(models), **form}
    response = browser.client.post("/messages", data=data, headers=headers)
    assert response.status_code == (200 if htmx else 303), visible_text(response.text)
    return response.text if htmx else response.headers["Location"]


def names(page: str) -> list[str]:
    """Who answers in each column."""
    return re.findall(r'<h2 class="compared-name">([^<]+)</h2>', page)


def test_compared_answers_show_columns_while_streaming_and_after(alice: WebClient, finish_answers: Answer) -> None:
    address = compare(alice, "scripted", BLENDER, SMOL)
    page = alice.get(address).text
    assert names(page) == ["Demo script", "BlenderBot 400M", "SmolLM2 135M Instruct"]
    assert page.count("hx-sse:connect") == 3
    assert len(message_ids(page)) == len(set(message_ids(page))) == 4
    assert 'http-equiv="refresh"' in page
    finish_answers("All the same.")
    page = alice.get(address).text
    assert page.count("All the same.") == 3
    assert page.count("Continue with this answer") == 3
    assert 'http-equiv="refresh"' not in page
    assert 'class="change-notice"' not in page


def test_htmx_post_returns_all_compared_answers(alice: WebClient) -> None:
    body = compare(alice, SMOL, BLENDER, htmx=True)
    assert sorted(names(body)) == ["BlenderBot 400M", "SmolLM2 135M Instruct"]
    assert body.count("hx-sse:connect") == 2
    assert 'hx-target="#draft" hx-swap="outerHTML"' in body


def test_each_column_finishes_separately(alice: WebClient) -> None:
    page = alice.get(compare(alice, SMOL, BLENDER)).text
    first = message_ids(page)[1]
    finished = alice.get(f"/messages/{first}", headers={"HX-Request": "true", "HX-Request-Type": "partial"}).text
    assert f'hx-target="#message-{first}" hx-swap="outerMorph"' in finished
    assert names(finished) == []
    assert 'next-change-notice" hx-swap="delete' in finished


def test_stop_cancels_all_compared_answers(alice: WebClient) -> None:
    address = compare(alice, SMOL, BLENDER)
    page = alice.get(address).text
    alice.send_form("DELETE", f"/messages/{message_ids(page)[1]}/stream")
    assert visible_text(alice.get(address).text).count("You stopped this answer.") == 2


@pytest.mark.parametrize("htmx", [True, False])
def test_selecting_answer_ends_comparison(alice: WebClient, finish_answers: Answer, htmx: bool) -> None:
    address = compare(alice, "scripted", BLENDER)
    finish_answers("Words.")
    question, first, second = message_ids(alice.get(address).text)
    response = alice.send_form("POST", f"/messages/{second}/selection", htmx=htmx)
    if htmx:
        assert f'hx-target="#message-{first}-comparison" hx-swap="outerHTML"' in response.text
        assert "Continuing with BlenderBot 400M's answer." in response.text
        assert names(response.text) == []
    else:
        assert response.headers["Location"] == address
    page = alice.get(address).text
    assert message_ids(page) == [question, second]
    assert names(page) == []
    assert "BlenderBot 400M · precise" in visible_text(page)
    assert alice.send_form("POST", f"/messages/{question}/selection").status_code == 404


def test_comparison_within_existing_conversation(alice: WebClient, finish_answers: Answer) -> None:
    conversation = alice.start_conversation("First")
    finish_answers()
    address = compare(alice, SMOL, "scripted", conversation=conversation, idempotency_key="t2")
    page = alice.get(address).text
    assert names(page) == ["Demo script", "SmolLM2 135M Instruct"], "who answers anyway comes first"
    finish_answers()
    alice.post_question("And then?", conversation)
    page = alice.get(address).text
    assert names(page) == []
    assert len(message_ids(page)) == 6


@pytest.mark.parametrize(
    ("models", "status", "sentence"),
    [
        ((SMOL,), 422, "Choose two or three models"),
        ((SMOL, SMOL), 422, "Choose two or three models"),
        ((SMOL, BLENDER, "scripted", "gpt2"), 422, "Choose two or three models"),
        ((SMOL, "nobody"), 409, "nobody is not downloaded"),
    ],
)
def test_invalid_model_selection_is_rejected(
    app: Flask, alice: WebClient, models: tuple[str, ...], status: int, sentence: str
) -> None:
    alice.get("/")
    form = {"csrf_token": alice.csrf_token, "text": "My words", "idempotency_key": "t", "compare": list(models)}
    response = alice.client.post("/messages", data=form)
    assert response.status_code == status
    assert sentence in visible_text(response.text)
    assert "My words" in response.text
    with app.app_context():
        assert db.session.execute(db.text("SELECT count(*) FROM message")).scalar() == 0
        db.session.remove()


def test_model_picker_offers_comparison_with_several_models(app: Flask, alice: WebClient) -> None:
    page = alice.get("/").text
    assert len(re.findall(r'type="checkbox" name="compare"', page)) == 3
    chosen = alice.get(
        f"/model-picker?model=scripted&preset=&compare={SMOL}&compare={BLENDER}",
        headers={"HX-Request": "true", "HX-Request-Type": "partial"},
    ).text
    assert "Comparing <b>SmolLM2 135M Instruct</b>, <b>BlenderBot 400M</b>" in chosen
    assert len(re.findall(r'name="compare" value="[^"]+" checked', chosen)) == 2
    with app.app_context():
        db.session.execute(db.text("DELETE FROM model"))
        db.session.commit()
        db.session.remove()
    assert 'name="compare"' not in alice.get("/").text


def test_stale_tab_gets_compared_answers_beside_each_other(alice: WebClient, finish_answers: Answer) -> None:
    conversation = alice.start_conversation("First")
    finish_answers("Written.")
    page = alice.get(f"/conversations/{conversation}").text
    last_known = message_ids(page)[-1]
    compare(alice, SMOL, BLENDER, conversation=conversation, idempotency_key="other")
    headers = {"HX-Request": "true", "HX-Request-Type": "partial"}
    refreshed = alice.get(f"/conversations/{conversation}?parent={last_known}", headers=headers).text
    assert sorted(names(refreshed)) == ["BlenderBot 400M", "SmolLM2 135M Instruct"]
