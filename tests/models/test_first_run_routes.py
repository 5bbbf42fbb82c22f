"""The front page before the first chat: which model to download, advice for who manages models, and welcomes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask

from chatsite.engine.catalog.catalog import EMBEDDED_MODEL, PREFERRED_MODEL
from chatsite.models import ModelState, RequestedAction
from tests.conftest import close_app, make_app
from tests.models.test_models_routes import WEIGHTS, requested
from tests.support.web_fixtures import HTMX_HEADERS, WebClient, visible_text


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    """A site whose visitors may manage its models."""
    made = make_app(tmp_path, DEFAULT_MODEL="auto", ALLOW_MODEL_MANAGEMENT=True)
    yield made
    close_app(made)


def test_front_page_asks_once_which_model_to_download(
    app: Flask, alice: WebClient, new_client: Callable[[], WebClient]
) -> None:
    front = visible_text(alice.get("/").text)
    assert "is the best that runs well here." in front
    assert "BlenderBot 400M suits small talk better. Download 730 MB BlenderBot 400M" in front
    assert "Not now" in front
    assert alice.send_form("DELETE", "/first-run").headers["Location"] == "/"
    # Nobody is asked again, and nothing was wished.
    other = new_client()
    for client in (alice, other):
        assert "suits small talk better" not in client.get("/").text
    assert requested(app) is None
    # Another visitor still sees the rest of the card.
    assert "Import your chats" in other.get("/").text
    assert "Import your chats" not in alice.get("/").text


def test_download_from_front_page_is_for_new_chats(
    app: Flask, alice: WebClient, record_model_status: Callable[..., None]
) -> None:
    alice.get("/")
    response = alice.send_form("POST", WEIGHTS, answers_new_chats="1", next="/")
    assert response.headers["Location"] == "/"
    assert requested(app) is RequestedAction.PULL
    record_model_status(PREFERRED_MODEL, download_state=ModelState.FETCHING, bytes_done=1, bytes_total=4)
    front = alice.get("/").text
    assert "25 % downloaded. New chats will use it." in visible_text(front)
    assert 'hx-get="/first-run"' in front
    assert "Not now" not in front
    record_model_status(PREFERRED_MODEL, download_state=ModelState.READY)
    polled = alice.get("/first-run", headers=HTMX_HEADERS).text
    assert "The model is ready. New chats use it." in polled
    assert 'hx-get="/first-run"' not in polled
    assert "Model: BlenderBot 400M" in visible_text(alice.get("/").text)
    assert alice.get("/first-run").status_code == 303


def test_only_people_who_may_manage_models_get_advice(
    app: Flask, alice: WebClient, record_model_status: Callable[..., None]
) -> None:
    record_model_status(EMBEDDED_MODEL, download_state=ModelState.READY)
    advice = ("Want better answers?", "is the best that runs well here", "suits small talk better")
    assert [text in alice.get("/").text for text in advice] == [True, True, True]
    assert advice[1] in alice.get("/models").text
    # The memory of a machine elsewhere is not known here.
    app.config["RUNNER"] = "external"
    assert [text in alice.get("/").text for text in advice] == [False, False, True]
    app.config["RUNNER"], app.config["ALLOW_MODEL_MANAGEMENT"] = "supervised", False
    assert not any(text in alice.get("/").text + alice.get("/models").text for text in advice)


def test_reader_is_told_which_model_speaks_their_language(
    app: Flask, alice: WebClient, record_model_status: Callable[..., None]
) -> None:
    alice.client.environ_base["HTTP_ACCEPT_LANGUAGE"] = "es"
    front = visible_text(alice.get("/").text)
    assert "Este modelo solo entiende bien el inglés." in front
    assert "Qwen3 0.6B habla español: descargar (1,5 GB)" in front
    record_model_status("qwen2.5-0.5b-instruct", download_state=ModelState.READY)
    assert "Qwen2.5 0.5B Instruct habla español: úsalo" in visible_text(alice.get("/").text)
    app.config["ALLOW_MODEL_MANAGEMENT"] = False
    assert "Este modelo solo" not in alice.get("/?model=qwen2.5-0.5b-instruct").text


def test_persona_has_a_welcome_of_its_own(alice: WebClient) -> None:
    page = visible_text(alice.get("/?persona=tutor").text)
    assert "What can I help with?" not in page
    assert "Patient tutor Explains step by step and checks that you follow." in page
    assert "Help me with fractions." in page
    assert "rainbows" not in page
    assert "No persona" in page
