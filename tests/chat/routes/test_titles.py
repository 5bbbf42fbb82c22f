"""Titles by models on the page: asked for where the model can, and brought to the list and the heading."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import select

from chatsite.database import db
from chatsite.models import Conversation, TitleRequest
from chatsite.services.chat import title_requests
from tests.personas.test_personas_routes import put
from tests.support.web_fixtures import HTMX_HEADERS, WebClient

Answer = Callable[..., None]
QWEN = "qwen3-0.6b"


@pytest.fixture(autouse=True)
def _ready_models(app: Flask) -> None:
    put(app, QWEN, "smollm2-135m-instruct")


def requests_of(app: Flask) -> list[str]:
    """The titles of the conversations that wait for another one."""
    with app.app_context():
        query = select(Conversation.title).join(TitleRequest, TitleRequest.conversation_id == Conversation.id)
        return list(db.session.scalars(query))


def start(browser: WebClient, model: str = QWEN, temporary: str = "") -> str:
    form = {"text": "How do rainbows form?", "model": model, "temporary": temporary}
    response = browser.send_form("POST", "/messages", htmx=False, **form)
    assert response.status_code == 303, response.text
    return response.headers["Location"]


def write_title(app: Flask, title: str) -> None:
    """Write the title that is due, as a runner does."""
    with app.app_context():
        claimed = title_requests.claim("runner", 5, max_attempts=2, can_write=lambda model: True)
        assert claimed
        assert title_requests.finish("runner", claimed, title)
        db.session.remove()


def ask_for_news(browser: WebClient, page: str, html: str) -> tuple[int, str]:
    """What the list of a page gets that asks whether something is still being written."""
    match = re.search(r'hx-get="(/conversations\?writing=[^"]+)"', html)
    assert match, "The list does not ask."
    response = browser.get(
        match[1].replace("&amp;", "&"), headers={**HTMX_HEADERS, "HX-Current-URL": f"http://localhost{page}"}
    )
    return response.status_code, response.text


def test_model_that_can_is_asked(app: Flask, alice: WebClient) -> None:
    start(alice)
    assert requests_of(app) == ["How do rainbows form?"]


@pytest.mark.parametrize("model", ["smollm2-135m-instruct", "scripted"])
def test_model_that_cannot_is_not_asked(app: Flask, alice: WebClient, model: str) -> None:
    start(alice, model)
    assert requests_of(app) == []


def test_setting_turns_it_off(app: Flask, alice: WebClient) -> None:
    app.config["MODEL_TITLES"] = False
    start(alice)
    assert requests_of(app) == []


def test_temporary_chat_is_not_named(app: Flask, alice: WebClient) -> None:
    start(alice, temporary="1")
    assert requests_of(app) == []


def test_list_and_heading_follow(app: Flask, alice: WebClient, finish_answers: Answer) -> None:
    page = start(alice)
    html = alice.get(page).text
    finish_answers()
    status, rows = ask_for_news(alice, page, html)
    assert status == 200
    assert "row-writing" not in rows
    # The title is still to come, so the list asks on.
    assert ask_for_news(alice, page, rows)[0] == 204
    write_title(app, "Rainbows & light")
    status, news = ask_for_news(alice, page, rows)
    assert status == 200
    assert ">Rainbows &amp; light</a>" in news
    assert '<hx-partial hx-target="#heading" hx-swap="textContent">Rainbows &amp; light</hx-partial>' in news
    assert "<title>Rainbows &amp; light · chatsite</title>" in news
    assert "writing=" not in news
    assert "Rainbows &amp; light</h1>" in alice.get(page).text


def test_other_pages_and_people_get_no_heading(
    app: Flask, alice: WebClient, bob: WebClient, finish_answers: Answer
) -> None:
    page = start(alice)
    html = alice.get(page).text
    finish_answers()
    write_title(app, "Rainbows")
    assert "#heading" not in ask_for_news(alice, "/search", html)[1]
    news = bob.get("/conversations?writing=x", headers={**HTMX_HEADERS, "HX-Current-URL": f"http://localhost{page}"})
    assert "Rainbows" not in news.text
