"""The receipt under an answer and as a page, the cut line, and the gauge."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from chatsite.database import db
from chatsite.engine.scripted import build_report
from chatsite.engine.types import GenerationOptions, Request
from chatsite.errors import as_error
from chatsite.models import Status
from chatsite.runner.prompt_reports import serialize_prompt_report
from chatsite.services.chat import generation_leases
from chatsite.services.chat.generation_update import GenerationUpdate
from tests.support.web_fixtures import HTMX_HEADERS, WebClient, message_ids

Answer = Callable[..., None]
HOSTILE = '<img src=x onerror="alert(1)"> {{ 7*7 }} <hx-partial hx-target="#main">'


@pytest.fixture
def answer_with_report(app: Flask) -> Answer:
    """Answers the waiting question with a text and a receipt, of which parts may be replaced."""

    def write(text: str = "An answer.", **changes: Any) -> None:
        with app.app_context():
            [claim] = generation_leases.claim("runner", 1, 5, max_attempts=2)
            options = GenerationOptions(temperature=0.7, top_p=1.0, seed=1234567)
            report = (
                serialize_prompt_report(build_report(Request(1, claim.messages, options)), claim.messages) | changes
            )
            news = GenerationUpdate(claim.attempts, text, 2, report, Status.DONE, "end")
            generation_leases.heartbeat("runner", {claim.generation_id: news}, 5)
            db.session.remove()

    return write


def last_answer(person: WebClient, conversation: str) -> str:
    """The path of the newest message."""
    return f"/messages/{message_ids(person.get(f'/conversations/{conversation}').text)[-1]}"


def words(html: str) -> str:
    """What a reader sees."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", html))


def test_finished_answer_links_to_prompt_report(alice: WebClient, answer_with_report: Answer) -> None:
    conversation = alice.start_conversation("Hello there")
    answer_with_report()
    path = last_answer(alice, conversation)
    assert f'href="{path}/prompt-report"' in alice.get(f"/conversations/{conversation}").text
    page, opened = alice.get(f"{path}/prompt-report"), alice.get(f"{path}/prompt-report", headers=HTMX_HEADERS)
    assert "<h1" in page.text
    assert "<html" not in opened.text
    assert 'class="report-panel-body"' in opened.text
    assert "Read your message · " not in alice.get(f"/conversations/{conversation}").text, "no time was measured"
    for response in (page, opened):
        assert "<span>Hello</span><span><i> </i>there</span>" in response.text
        text = words(response.text)
        for part in ("2 of 2,000 tokens", "Demo script", "Temperature 0.7", "Seed 1234567", "has no memory"):
            assert part in text
        assert "Top-p" not in text, "a setting that does nothing is not worth a line"


def test_prompt_report_shows_dropped_turns_above_context_boundary(alice: WebClient, answer_with_report: Answer) -> None:
    conversation = alice.start_conversation("Early question")
    answer_with_report("Early answer")
    alice.post_question("Late question", conversation)
    turns = [[0, "user", 2, False, False], [1, "assistant", 2, False, False], [2, "user", 2, True, True, [9]]]
    answer_with_report(turns=turns, persona=["I am a <b>nurse</b>."])
    text = words(alice.get(f"{last_answer(alice, conversation)}/prompt-report").text)
    order = ["Early question", "Early answer", "above this line", "nurse", "only saw the end of it", "question How the"]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert "I am a &lt;b&gt;nurse" in text


def test_prompt_report_shows_newest_dropped_turns(alice: WebClient, answer_with_report: Answer) -> None:
    conversation = alice.start_conversation("Question 0")
    for number in range(1, 10):
        answer_with_report()
        alice.post_question(f"Question {number}", conversation)
    rows = [[number, "user", 2, number == 18, False] for number in range(19)]
    answer_with_report(turns=rows)
    text = words(alice.get(f"{last_answer(alice, conversation)}/prompt-report").text)
    assert "6 earlier messages" in text
    assert "Question 2" not in text
    assert "Question 3" in text


def test_prompt_report_escapes_html(alice: WebClient, answer_with_report: Answer) -> None:
    conversation = alice.start_conversation(HOSTILE)
    answer_with_report(HOSTILE)
    alice.post_question(HOSTILE, conversation)
    turns = [[0, "user", 9, False, False], [1, "assistant", 9, True, False], [2, "user", 9, True, False, [HOSTILE]]]
    answer_with_report(turns=turns, persona=[HOSTILE], model=HOSTILE, options={HOSTILE: 3, "seed": HOSTILE})
    for headers in ({}, HTMX_HEADERS):
        html = alice.get(f"{last_answer(alice, conversation)}/prompt-report", headers=headers).text
        assert html.count("&lt;img") >= 6
        assert "<img" not in html
        assert "<hx-partial" not in html
        assert "style=" not in html


@pytest.mark.parametrize("report", [{"turns": []}, {"turns": [[0, "user", 1, True, False]], "options": None}])
def test_prompt_report_of_earlier_version_is_shown_partially(
    alice: WebClient, answer_with_report: Answer, report: dict[str, Any]
) -> None:
    conversation = alice.start_conversation("Hello")
    answer_with_report(**report)
    response = alice.get(f"{last_answer(alice, conversation)}/prompt-report")
    assert response.status_code == 200
    assert ("No prompt details were saved" in words(response.text)) == (not report["turns"])


def test_prompt_report_gets_404_for_question_or_outsider(alice: WebClient, bob: WebClient) -> None:
    conversation = alice.start_conversation("Mine alone")
    question, answer = message_ids(alice.get(f"/conversations/{conversation}").text)
    assert alice.get(f"/messages/{question}/prompt-report").status_code == 404
    for headers in ({}, HTMX_HEADERS):
        assert bob.get(f"/messages/{answer}/prompt-report", headers=headers).status_code == 404
    assert bob.send_form("PUT", f"/conversations/{conversation}/draft", text="x").status_code == 404


def test_pending_answer_has_no_prompt_report(alice: WebClient) -> None:
    conversation = alice.start_conversation("Hello")
    path = last_answer(alice, conversation)
    assert "/prompt-report" not in alice.get(f"/conversations/{conversation}").text
    assert "No prompt details were saved" in words(alice.get(f"{path}/prompt-report").text)


def test_context_boundary_above_oldest_fitting_message(alice: WebClient, answer_with_report: Answer) -> None:
    conversation = alice.start_conversation("word " * 20)
    answer_with_report("word " * 20, budget=60)
    path = f"/conversations/{conversation}"
    assert 'id="context-boundary"' not in alice.get(path).text
    posted = alice.post_question("word " * 40, conversation, htmx=True).text
    assert posted.count('id="context-boundary"') == 1
    page = alice.get(path).text
    names = message_ids(page)
    assert re.search(rf'id="context-boundary".*?</p>\s*<article id="message-{names[1]}"', page, re.DOTALL)
    assert f'hx-target="#message-{names[1]}" hx-swap="beforebegin"' in posted
    answer_with_report(budget=60)
    finished = alice.get(f"/messages/{names[3]}", headers=HTMX_HEADERS).text
    assert f'hx-target="#message-{names[2]}" hx-swap="beforebegin"' in finished


def test_context_meter_counts_draft(alice: WebClient, answer_with_report: Answer) -> None:
    conversation = alice.start_conversation("word " * 20)
    path = f"/conversations/{conversation}/draft"
    assert "tokens" not in words(alice.send_form("PUT", path, htmx=True).text)
    answer_with_report("word " * 20, budget=60)
    sizes = []
    for length in (0, 40, 0):
        html = alice.send_form("PUT", path, htmx=True, text="a" * length).text
        sizes.append(re.search(r"(\d+) of 60 tokens", html).group(1))  # type: ignore[union-attr]
    assert sizes == ["22", "32", "22"]
    alone = alice.send_form("PUT", path, htmx=True, text="a" * 9000).text
    assert '<hx-partial hx-target="#thread" hx-swap="beforeend"><p id="context-boundary"' in alone


def test_context_meter_is_hidden_below_one_third(alice: WebClient, answer_with_report: Answer) -> None:
    conversation = alice.start_conversation("word " * 20)
    path = f"/conversations/{conversation}"
    answer_with_report("word " * 20, budget=120)
    meter = re.compile(r'<p id="context-meter" class="context-meter ([\w-]*)" (hidden|tabindex="0")>')
    seen = {}
    for length in (0, 80, 400):
        html = alice.send_form("PUT", f"{path}/draft", htmx=True, text="a" * length).text
        seen[length] = meter.findall(html)[0]
    assert seen == {0: ("", "hidden"), 80: ("", 'tabindex="0"'), 400: ("context-meter-full", 'tabindex="0"')}
    assert meter.findall(alice.get("/").text) == [("", "hidden")]


def test_prompt_report_has_unique_ids_and_spanish_translation(alice: WebClient, answer_with_report: Answer) -> None:
    conversation = alice.start_conversation("Hola")
    answer_with_report()
    path = last_answer(alice, conversation)
    alice.client.set_cookie("chatsite_language", "es")
    for address in (f"{path}/prompt-report", f"/conversations/{conversation}"):
        html = alice.get(address).text
        ids = re.findall(r'\sid="([^"]+)"', html)
        assert len(ids) == len(set(ids))
        assert "Lo que vio el modelo" in html
        assert "What the model saw" not in html
    text = words(alice.get(f"{path}/prompt-report").text)
    for part in ("1 de 2.000 tokens", "Temperatura 0,7", "Semilla 1234567", "no tiene memoria"):
        assert part in text


def test_generation_error_is_escaped(app: Flask, alice: WebClient) -> None:
    conversation = alice.start_conversation("Hello")
    with app.app_context():
        [claim] = generation_leases.claim("runner", 1, 5, max_attempts=2)
        news = GenerationUpdate(
            claim.attempts, status=Status.FAILED, finish_reason="error", error=as_error(f"{HOSTILE} 100%")
        )
        generation_leases.heartbeat("runner", {claim.generation_id: news}, 5)
        db.session.remove()
    html = alice.get(f"/conversations/{conversation}").text
    assert "&lt;img" in html
    assert "<img" not in html
    assert "100%" in html


@pytest.mark.parametrize(
    ("counted_by", "sentence"),
    [
        ("engine", "tokens your messages"),
        ("server", "tokens, counted by the server"),
        ("estimated", "tokens, estimated"),
    ],
)
def test_prompt_report_says_who_counted(
    alice: WebClient, answer_with_report: Answer, counted_by: str, sentence: str
) -> None:
    conversation = alice.start_conversation("Hello there")
    answer_with_report(counted_by=counted_by)
    text = words(alice.get(f"{last_answer(alice, conversation)}/prompt-report").text)
    assert sentence in text
    assert ("It runs on another server" in text) is (counted_by != "engine")


def test_prompt_report_tells_that_server_cut_prompt(alice: WebClient, answer_with_report: Answer) -> None:
    conversation = alice.start_conversation("Hello there")
    answer_with_report(counted_by="server", notes=["cut_by_server", "unknown of later", HOSTILE])
    path = last_answer(alice, conversation)
    assert "Read only the end of the chat" in words(alice.get(f"/conversations/{conversation}").text)
    page = alice.get(f"{path}/prompt-report").text
    assert "The server cut the beginning of the chat" in words(page)
    assert "it was sent: it cut the beginning of the chat." in words(page)
    assert "onerror" not in page
