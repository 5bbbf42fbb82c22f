"""The receipt under an answer and as a page, the cut line, and the gauge."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from chatsite.database import db
from chatsite.engine import Options, Request
from chatsite.engine.scripted import read
from chatsite.models import Status
from chatsite.runner.receipts import compact
from chatsite.services import claims
from tests.web.conftest import HTMX, Browser, message_ids

Answer = Callable[..., None]
HOSTILE = '<img src=x onerror="alert(1)"> {{ 7*7 }} <hx-partial hx-target="#main">'


@pytest.fixture
def reply(app: Flask) -> Answer:
    """Answers the waiting question with a text and a receipt, of which parts may be replaced."""

    def write(text: str = "An answer.", **changes: Any) -> None:
        with app.app_context():
            [claim] = claims.claim("runner", 1, 5, 2)
            options = Options(temperature=0.7, top_p=1.0, seed=1234567)
            receipt = compact(read(Request(1, claim.turns, options)), claim.turns) | changes
            news = claims.Written(claim.attempt, text, 2, receipt, Status.DONE, "end")
            claims.record("runner", {claim.generation_id: news}, 5)
            db.session.remove()

    return write


def last_answer(person: Browser, conversation: str) -> str:
    """The path of the newest message."""
    return f"/messages/{message_ids(person.get(f'/conversations/{conversation}').text)[-1]}"


def words(html: str) -> str:
    """What a reader sees."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", html))


def test_a_finished_answer_leads_to_what_the_model_saw(alice: Browser, reply: Answer) -> None:
    conversation = alice.start("Hello there")
    reply()
    path = last_answer(alice, conversation)
    assert f'href="{path}/receipt"' in alice.get(f"/conversations/{conversation}").text
    page, opened = alice.get(f"{path}/receipt"), alice.get(f"{path}/receipt", headers=HTMX)
    assert "<h1" in page.text
    assert "<html" not in opened.text
    assert "<details" in opened.text
    for response in (page, opened):
        assert "<span>Hello</span><span><i> </i>there</span>" in response.text
        text = words(response.text)
        for part in ("2 of 2,000 tokens", "Demo script", "Temperature 0.7", "Seed 1234567", "remembers nothing"):
            assert part in text
        assert "Top-p" not in text, "a setting that does nothing is not worth a line"


def test_what_was_left_out_stands_above_the_line(alice: Browser, reply: Answer) -> None:
    conversation = alice.start("Early question")
    reply("Early answer")
    alice.ask("Late question", conversation)
    turns = [[0, "user", 2, False, False], [1, "assistant", 2, False, False], [2, "user", 2, True, True, [9]]]
    reply(turns=turns, persona=["I am a <b>nurse</b>."])
    text = words(alice.get(f"{last_answer(alice, conversation)}/receipt").text)
    order = ["Early question", "Early answer", "above this line", "nurse", "only the end of it", "question How the"]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert "I am a &lt;b&gt;nurse" in text


def test_of_many_turns_that_were_left_out_the_newest_are_shown(alice: Browser, reply: Answer) -> None:
    conversation = alice.start("Question 0")
    for number in range(1, 10):
        reply()
        alice.ask(f"Question {number}", conversation)
    rows = [[number, "user", 2, number == 18, False] for number in range(19)]
    reply(turns=rows)
    text = words(alice.get(f"{last_answer(alice, conversation)}/receipt").text)
    assert "6 earlier turns" in text
    assert "Question 2" not in text
    assert "Question 3" in text


def test_nothing_that_was_said_becomes_markup(alice: Browser, reply: Answer) -> None:
    conversation = alice.start(HOSTILE)
    reply(HOSTILE)
    alice.ask(HOSTILE, conversation)
    turns = [[0, "user", 9, False, False], [1, "assistant", 9, True, False], [2, "user", 9, True, False, [HOSTILE]]]
    reply(turns=turns, persona=[HOSTILE], model=HOSTILE, options={HOSTILE: 3, "seed": HOSTILE})
    for headers in ({}, HTMX):
        html = alice.get(f"{last_answer(alice, conversation)}/receipt", headers=headers).text
        assert html.count("&lt;img") >= 6
        assert "<img" not in html
        assert "<hx-partial" not in html
        assert "style=" not in html


@pytest.mark.parametrize("receipt", [{"turns": []}, {"turns": [[0, "user", 1, True, False]], "options": None}])
def test_a_receipt_of_an_earlier_version_is_shown_as_far_as_it_goes(
    alice: Browser, reply: Answer, receipt: dict[str, Any]
) -> None:
    conversation = alice.start("Hello")
    reply(**receipt)
    response = alice.get(f"{last_answer(alice, conversation)}/receipt")
    assert response.status_code == 200
    assert ("nothing was kept" in words(response.text)) == (not receipt["turns"])


def test_a_question_has_no_receipt_and_a_stranger_gets_none(alice: Browser, bob: Browser) -> None:
    conversation = alice.start("Mine alone")
    question, answer = message_ids(alice.get(f"/conversations/{conversation}").text)
    assert alice.get(f"/messages/{question}/receipt").status_code == 404
    for headers in ({}, HTMX):
        assert bob.get(f"/messages/{answer}/receipt", headers=headers).status_code == 404
    assert bob.send("PUT", f"/conversations/{conversation}/draft", text="x").status_code == 404


def test_an_answer_that_waits_has_no_link_and_a_page_that_says_so(alice: Browser) -> None:
    conversation = alice.start("Hello")
    path = last_answer(alice, conversation)
    assert "/receipt" not in alice.get(f"/conversations/{conversation}").text
    assert "nothing was kept" in words(alice.get(f"{path}/receipt").text)


def test_the_cut_line_stands_above_the_oldest_message_that_fits(alice: Browser, reply: Answer) -> None:
    conversation = alice.start("word " * 20)
    reply("word " * 20, budget=60)
    path = f"/conversations/{conversation}"
    assert 'id="cut"' not in alice.get(path).text
    posted = alice.ask("word " * 40, conversation, htmx=True).text
    assert posted.count('id="cut"') == 1
    page = alice.get(path).text
    names = message_ids(page)
    assert re.search(rf'id="cut".*?</p>\s*<article id="message-{names[1]}"', page, re.DOTALL)
    assert f'hx-target="#message-{names[1]}" hx-swap="beforebegin"' in posted
    reply(budget=60)
    settled = alice.get(f"/messages/{names[3]}", headers=HTMX).text
    assert f'hx-target="#message-{names[2]}" hx-swap="beforebegin"' in settled


def test_the_gauge_follows_what_is_typed(alice: Browser, reply: Answer) -> None:
    conversation = alice.start("word " * 20)
    path = f"/conversations/{conversation}/draft"
    assert "tokens" not in words(alice.send("PUT", path, htmx=True).text)
    reply("word " * 20, budget=60)
    sizes = []
    for length in (0, 40, 0):
        html = alice.send("PUT", path, htmx=True, text="a" * length).text
        sizes.append(re.search(r"(\d+) of 60 tokens", html).group(1))  # type: ignore[union-attr]
    assert sizes == ["22", "32", "22"]
    alone = alice.send("PUT", path, htmx=True, text="a" * 9000).text
    assert '<hx-partial hx-target="#thread" hx-swap="beforeend"><p id="cut"' in alone


def test_the_gauge_is_seen_from_a_third_on(alice: Browser, reply: Answer) -> None:
    conversation = alice.start("word " * 20)
    path = f"/conversations/{conversation}"
    reply("word " * 20, budget=120)
    gauge = re.compile(r'<p id="gauge" class="gauge ([\w-]*)" (hidden|tabindex="0")>')
    seen = {}
    for length in (0, 80, 400):
        html = alice.send("PUT", f"{path}/draft", htmx=True, text="a" * length).text
        seen[length] = gauge.findall(html)[0]
    assert seen == {0: ("", "hidden"), 80: ("", 'tabindex="0"'), 400: ("gauge-full", 'tabindex="0"')}
    assert gauge.findall(alice.get("/").text) == [("", "hidden")]


def test_ids_are_unique_and_a_spanish_receipt_is_spanish(alice: Browser, reply: Answer) -> None:
    conversation = alice.start("Hola")
    reply()
    path = last_answer(alice, conversation)
    alice.client.set_cookie("chatsite_language", "es")
    for address in (f"{path}/receipt", f"/conversations/{conversation}"):
        html = alice.get(address).text
        ids = re.findall(r'\sid="([^"]+)"', html)
        assert len(ids) == len(set(ids))
        assert "Lo que vio el modelo" in html
        assert "What the model saw" not in html
    text = words(alice.get(f"{path}/receipt").text)
    for part in ("1 de 2.000 tokens", "Temperatura 0,7", "Semilla 1234567", "no recuerda nada"):
        assert part in text


def test_an_error_from_elsewhere_is_text(app: Flask, alice: Browser) -> None:
    conversation = alice.start("Hello")
    with app.app_context():
        [claim] = claims.claim("runner", 1, 5, 2)
        news = claims.Written(claim.attempt, status=Status.FAILED, reason="error", error=f"{HOSTILE} 100%")
        claims.record("runner", {claim.generation_id: news}, 5)
        db.session.remove()
    html = alice.get(f"/conversations/{conversation}").text
    assert "&lt;img" in html
    assert "<img" not in html
    assert "100%" in html
