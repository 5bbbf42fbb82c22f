"""Comparing: who is asked, what the page shows, and going on with one."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask import Flask

from chatsite.database import db
from tests.web.conftest import Browser, message_ids, plain
from tests.web.test_personas import BLENDER, SMOL, put

Answer = Callable[..., None]


@pytest.fixture(autouse=True)
def _weights(app: Flask) -> None:
    put(app, SMOL, BLENDER)


def compare(browser: Browser, *models: str, htmx: bool = False, **form: str) -> str:
    """Ask several models; returns the address of the conversation, or for htmx what comes back."""
    browser.get("/")
    headers = {"HX-Request": "true", "HX-Request-Type": "partial"} if htmx else {}
    data = {"csrf_token": browser.token, "text": "Hello", "token": "t", "compare": list(models), **form}
    response = browser.client.post("/messages", data=data, headers=headers)
    assert response.status_code == (200 if htmx else 303), plain(response.text)
    return response.text if htmx else response.headers["Location"]


def names(page: str) -> list[str]:
    """Who answers in each column."""
    return re.findall(r'<h2 class="compared-name">([^<]+)</h2>', page)


def test_answers_stand_beside_each_other_while_they_are_written_and_after(alice: Browser, answer: Answer) -> None:
    address = compare(alice, "scripted", BLENDER, SMOL)
    page = alice.get(address).text
    assert names(page) == ["Demo script", "BlenderBot 400M", "SmolLM2 135M Instruct"]
    assert page.count("hx-sse:connect") == 3
    assert len(message_ids(page)) == len(set(message_ids(page))) == 4
    assert 'http-equiv="refresh"' in page
    answer("All the same.")
    page = alice.get(address).text
    assert page.count("All the same.") == 3
    assert page.count("Go on with this one") == 3
    assert 'http-equiv="refresh"' not in page
    assert 'class="handover"' not in page


def test_the_answer_to_the_post_holds_all_of_them(alice: Browser) -> None:
    body = compare(alice, SMOL, BLENDER, htmx=True)
    assert sorted(names(body)) == ["BlenderBot 400M", "SmolLM2 135M Instruct"]
    assert body.count("hx-sse:connect") == 2
    assert 'hx-target="#draft" hx-swap="outerHTML"' in body


def test_each_column_settles_alone(alice: Browser) -> None:
    page = alice.get(compare(alice, SMOL, BLENDER)).text
    first = message_ids(page)[1]
    settled = alice.get(f"/messages/{first}", headers={"HX-Request": "true", "HX-Request-Type": "partial"}).text
    assert f'hx-target="#message-{first}" hx-swap="outerMorph"' in settled
    assert names(settled) == []
    assert 'next-answerer" hx-swap="delete' in settled


def test_stop_stops_all_of_them(alice: Browser) -> None:
    address = compare(alice, SMOL, BLENDER)
    page = alice.get(address).text
    alice.send("DELETE", f"/messages/{message_ids(page)[1]}/stream")
    assert plain(alice.get(address).text).count("You stopped this answer.") == 2


@pytest.mark.parametrize("htmx", [True, False])
def test_one_is_chosen_to_go_on_with(alice: Browser, answer: Answer, htmx: bool) -> None:
    address = compare(alice, "scripted", BLENDER)
    answer("Words.")
    question, first, second = message_ids(alice.get(address).text)
    response = alice.send("POST", f"/messages/{second}/choice", htmx=htmx)
    if htmx:
        assert f'hx-target="#message-{first}-comparison" hx-swap="outerHTML"' in response.text
        assert "You go on with the answer of BlenderBot 400M." in response.text
        assert names(response.text) == []
    else:
        assert response.headers["Location"] == address
    page = alice.get(address).text
    assert message_ids(page) == [question, second]
    assert names(page) == []
    assert "BlenderBot 400M · precise" in plain(page)
    assert alice.send("POST", f"/messages/{question}/choice").status_code == 404


def test_a_comparison_in_the_middle_of_a_conversation(alice: Browser, answer: Answer) -> None:
    conversation = alice.start("First")
    answer()
    address = compare(alice, SMOL, "scripted", conversation=conversation, token="t2")
    page = alice.get(address).text
    assert names(page) == ["Demo script", "SmolLM2 135M Instruct"], "who answers anyway comes first"
    answer()
    alice.ask("And then?", conversation)
    page = alice.get(address).text
    assert names(page) == []
    assert len(message_ids(page)) == 6


@pytest.mark.parametrize(
    ("models", "status", "sentence"),
    [
        ((SMOL,), 422, "Choose two or three models"),
        ((SMOL, SMOL), 422, "Choose two or three models"),
        ((SMOL, BLENDER, "scripted", "gpt2"), 422, "Choose two or three models"),
        ((SMOL, "nobody"), 409, "nobody is not on this machine"),
    ],
)
def test_what_cannot_be_compared(
    app: Flask, alice: Browser, models: tuple[str, ...], status: int, sentence: str
) -> None:
    alice.get("/")
    form = {"csrf_token": alice.token, "text": "My words", "token": "t", "compare": list(models)}
    response = alice.client.post("/messages", data=form)
    assert response.status_code == status
    assert sentence in plain(response.text)
    assert "My words" in response.text
    with app.app_context():
        assert db.session.execute(db.text("SELECT count(*) FROM message")).scalar() == 0
        db.session.remove()


def test_the_list_offers_it_where_there_is_a_choice(app: Flask, alice: Browser) -> None:
    page = alice.get("/").text
    assert len(re.findall(r'type="checkbox" name="compare"', page)) == 3
    chosen = alice.get(
        f"/answerer?model=scripted&preset=&compare={SMOL}&compare={BLENDER}",
        headers={"HX-Request": "true", "HX-Request-Type": "partial"},
    ).text
    assert "To compare: SmolLM2 135M Instruct, BlenderBot 400M" in plain(chosen)
    assert len(re.findall(r'name="compare" value="[^"]+" checked', chosen)) == 2
    with app.app_context():
        db.session.execute(db.text("DELETE FROM model"))
        db.session.commit()
        db.session.remove()
    assert 'name="compare"' not in alice.get("/").text
