"""Managing of models on their pages: downloads, removals and the default, and who may do that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask

from chatsite.engine.catalog.catalog import EMBEDDED_MODEL, PREFERRED_MODEL
from chatsite.models import ModelState, RequestedAction
from tests.conftest import close_app, make_app
from tests.core.test_templates import elements
from tests.models.test_models_routes import WEIGHTS, card, requested
from tests.support.web_fixtures import HTMX_HEADERS, WebClient, visible_text

REMOVAL = f"{WEIGHTS}/removal"
WAYS = pytest.mark.parametrize("htmx", [True, False], ids=["htmx", "plain"])
HOSTILE = ["x", "../etc/passwd", "%2e%2e", "a" * 5000, "\u0000", "'; DROP TABLE model; --", "ü", "<b>", "a/b/c", "%s"]


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    """A site whose visitors may manage its models."""
    made = make_app(tmp_path, DEFAULT_MODEL="auto", ALLOW_MODEL_MANAGEMENT=True)
    yield made
    close_app(made)


@WAYS
def test_model_download_can_be_canceled(app: Flask, alice: WebClient, htmx: bool) -> None:
    alice.get("/models")
    response = alice.send_form("POST", WEIGHTS, htmx)
    assert requested(app) is RequestedAction.PULL
    if htmx:
        assert response.status_code == 200
        assert "Cancel" in response.text
        assert f'hx-get="{WEIGHTS}?known_state=waiting"' in response.text
    else:
        assert (response.status_code, response.headers["Location"]) == (303, f"/models/{PREFERRED_MODEL}")
    assert alice.send_form("POST", WEIGHTS, htmx).status_code == 409
    response = alice.send_form("DELETE", WEIGHTS, htmx)
    assert response.status_code == (200 if htmx else 303)
    assert requested(app) is RequestedAction.REMOVE
    assert "Removing" in visible_text(alice.get("/models").text)


@WAYS
def test_model_removal_requires_confirmation(
    app: Flask, alice: WebClient, record_model_status: Callable[..., None], htmx: bool
) -> None:
    name = "blenderbot-1b-distill"
    record_model_status(name, download_state=ModelState.READY)
    assert f'href="/models/{name}/weights/removal"' in alice.get("/models").text
    question = alice.get(f"/models/{name}/weights/removal", headers=HTMX_HEADERS if htmx else {}).text
    assert "Its chats can still be read" in question
    assert ("<html" in question) != htmx
    [form] = [
        each for _, tag, each in elements(question).found if tag == "form" and "DELETE" in (each.get("action") or "")
    ]
    assert requested(app, name) is None
    response = alice.send_form("POST", str(form["action"]), htmx)
    assert response.status_code == (200 if htmx else 303)
    assert requested(app, name) is RequestedAction.REMOVE


def test_default_and_absent_models_cannot_be_removed(
    app: Flask, alice: WebClient, record_model_status: Callable[..., None]
) -> None:
    record_model_status(EMBEDDED_MODEL, download_state=ModelState.READY)
    assert "Default model" in card(app, alice.get("/models").text, EMBEDDED_MODEL)
    assert "removal" not in alice.get(f"/models/{EMBEDDED_MODEL}").text
    response = alice.send_form("DELETE", f"/models/{EMBEDDED_MODEL}/weights")
    assert response.status_code == 409
    assert "This is the default model" in response.text
    assert alice.send_form("DELETE", WEIGHTS).status_code == 409
    assert requested(app, EMBEDDED_MODEL) is requested(app) is None


def test_unmanaged_site_forbids_changes_and_names_command(
    app: Flask, alice: WebClient, record_model_status: Callable[..., None]
) -> None:
    app.config["ALLOW_MODEL_MANAGEMENT"] = False
    record_model_status("blenderbot-1b-distill", download_state=ModelState.READY)
    html = alice.get("/models").text
    assert f"Ask the administrator to run: chatsite models pull {PREFERRED_MODEL}" in card(app, html)
    assert "/removal" not in html
    assert 'action="/models/' not in html
    for htmx in (False, True):
        for method, path in (("POST", WEIGHTS), ("DELETE", "/models/blenderbot-1b-distill/weights")):
            response = alice.send_form(method, path, htmx)
            assert response.status_code == 403
            assert "chatsite models pull" in response.text
    assert alice.get(REMOVAL).status_code == 403
    assert requested(app) is requested(app, "blenderbot-1b-distill") is None


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("manageable", [True, False])
def test_unknown_model_gets_404(app: Flask, alice: WebClient, name: str, manageable: bool) -> None:
    app.config["ALLOW_MODEL_MANAGEMENT"] = manageable
    alice.get("/models")
    tries = [
        ("GET", ""),
        ("GET", "/weights"),
        ("GET", "/weights/removal"),
        ("POST", "/weights"),
        ("DELETE", "/weights"),
    ]
    for method, rest in tries:
        for htmx in (False, True):
            response = alice.send_form(method, f"/models/{name}{rest}", htmx)
            assert response.status_code == 404, (method, rest)
            assert "<b>" not in response.text


def test_download_and_removal_require_csrf_token(app: Flask, alice: WebClient) -> None:
    alice.get("/models")
    alice.csrf_token = "forged"
    assert alice.send_form("POST", WEIGHTS).status_code == 400
    assert alice.send_form("DELETE", WEIGHTS, htmx=True).status_code == 400
    assert requested(app) is None


def test_default_can_be_chosen_by_who_may_manage_models(
    app: Flask, alice: WebClient, record_model_status: Callable[..., None]
) -> None:
    record_model_status("gpt2", download_state=ModelState.READY)
    page = alice.get("/models/gpt2").text
    assert "Use for new chats" in page
    assert alice.send_form("PUT", "/models/gpt2/default", next="/models").headers["Location"] == "/models"
    assert "Default model" in alice.get("/models/gpt2").text
    assert "Use for new chats" not in alice.get("/models/gpt2").text
    assert alice.send_form("PUT", "/models/t5-small/default").status_code == 409
    assert alice.send_form("PUT", "/models/none/default").status_code == 404
    app.config["ALLOW_MODEL_MANAGEMENT"] = False
    assert alice.send_form("PUT", "/models/gpt2/default").status_code == 403
    app.config["ALLOW_MODEL_MANAGEMENT"] = True
    app.config["DEFAULT_MODEL"] = "gpt2"
    assert alice.send_form("PUT", "/models/gpt2/default").status_code == 409
