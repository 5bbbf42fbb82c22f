"""Servers on the page of models: who may look, add, ask and remove, and what everybody is told about where words go."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from chatsite.database import db
from chatsite.engine.catalog.endpoints import Endpoint, RemoteModel
from chatsite.errors import endpoints as endpoint_errors
from chatsite.models import RunnerState, Status
from chatsite.services.models import catalog, endpoint_status, endpoints, runners
from chatsite.services.models.endpoint_status import EndpointFacts
from tests.conftest import close_app, make_app
from tests.support.web_fixtures import WebClient, visible_text

OLLAMA = Endpoint("ollama", "http://127.0.0.1:11434/v1")
CLOUD = Endpoint("cloud", "https://models.example.com/v1")
HOUSE = Endpoint("house", "http://192.168.1.5:8000/v1")
FACTS = EndpointFacts("ollama", [RemoteModel("llama3.2:3b", "Llama <b>3.2</b>", 8192, 2_019_393_189, 3_212_749_888)])
WAYS = pytest.mark.parametrize("htmx", [True, False], ids=["htmx", "plain"])
ACTIONS = [
    ("POST", "/endpoints/discovery"),
    ("POST", "/endpoints/ollama"),
    ("POST", "/endpoints/ollama/check"),
    ("DELETE", "/endpoints/ollama"),
]


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    """A site whose visitors may manage its models, with a living runner."""
    made = make_app(tmp_path, DEFAULT_MODEL="auto", ALLOW_MODEL_MANAGEMENT=True)
    with made.app_context():
        runners.heartbeat("runner", "scripted", RunnerState.READY)
        db.session.remove()
    yield made
    close_app(made)


def find(app: Flask, *found: Endpoint) -> None:
    """Let a runner look, and find these servers."""
    with app.app_context():
        endpoint_status.finish_discovery(catalog.read_catalog_config(app.config), [(each, FACTS) for each in found])
        db.session.remove()


def add(app: Flask, endpoint: Endpoint, error: bool = False) -> None:
    with app.app_context():
        endpoints.add_endpoint(endpoint)
        endpoint_status.save_facts(endpoint, FACTS)
        if error:
            failure = endpoint_errors.EndpointUnreachableError(endpoint=endpoint.name)
            endpoint_status.save_failure(endpoint, failure)
        db.session.remove()


def follow(client: WebClient, response: TestResponse) -> str:
    """The page that a response leads to."""
    return client.get(response.location).text if response.status_code == 303 else response.text


def ask(client: WebClient) -> str:
    """Ask the model of the server in a new conversation; returns the address of that."""
    model = "ollama/llama3.2:3b"
    posted = client.send_form("POST", "/messages", text="Hi", conversation="", idempotency_key="t1", model=model)
    return str(posted.location)


@WAYS
def test_owner_looks_adds_and_removes(app: Flask, alice: WebClient, htmx: bool) -> None:
    page = follow(alice, alice.send_form("POST", "/endpoints/discovery", htmx))
    assert "Looking for servers…" in page
    assert ("http-equiv" in page) is not htmx
    find(app, OLLAMA)
    text = visible_text(alice.get("/models").text)
    assert "1 server found." in text
    assert "127.0.0.1:11434 Your messages stay on this computer" in text
    assert "Llama &lt;b&gt;3.2&lt;/b&gt; 3.2 billion parameters 2.0 GB 8,192 tokens of context" in text
    page = follow(alice, alice.send_form("POST", "/endpoints/ollama", htmx))
    assert "Check again" in page
    assert 'href="/models/ollama/llama3.2:3b"' in page
    page = follow(alice, alice.send_form("DELETE", "/endpoints/ollama", htmx))
    assert "Found, not added" in page


def test_what_was_found_is_announced_once(app: Flask, alice: WebClient) -> None:
    alice.send_form("POST", "/endpoints/discovery")
    headers = {"HX-Request": "true", "HX-Request-Type": "partial"}
    assert "announcer" not in alice.get("/endpoints?known_state=looking", headers=headers).text
    find(app, OLLAMA)
    assert "Found: ollama" in alice.get("/endpoints?known_state=looking", headers=headers).text
    assert "announcer" not in alice.get("/endpoints", headers=headers).text
    find(app)
    assert "No other servers were found." in alice.get("/endpoints?known_state=looking", headers=headers).text


def test_nobody_waits_where_no_runner_is_alive(app: Flask, alice: WebClient) -> None:
    with app.app_context():
        runners.deregister("runner")
        db.session.remove()
    alice.send_form("POST", "/endpoints/discovery")
    assert "Waiting for the worker to start" in alice.get("/models").text


@pytest.mark.parametrize(("method", "path"), ACTIONS)
def test_visitors_who_may_not_manage_change_nothing(app: Flask, alice: WebClient, method: str, path: str) -> None:
    add(app, OLLAMA)
    app.config["ALLOW_MODEL_MANAGEMENT"] = False
    response = alice.send_form(method, path)
    assert response.status_code == 403
    assert "chatsite models discover" in response.text
    text = visible_text(alice.get("/models").text)
    assert "Your messages stay on this computer" in text
    assert "Check again" not in text
    assert "Look for servers" not in text


@pytest.mark.parametrize(("method", "path"), ACTIONS[1:])
@pytest.mark.parametrize("name", ["nobody", "../../etc", "%00", "a" * 3000, "Ollama", "é"])
def test_unknown_server_is_not_found(alice: WebClient, method: str, path: str, name: str) -> None:
    assert alice.send_form(method, path.replace("ollama", name)).status_code == 404


def test_configured_server_stays(app: Flask, alice: WebClient) -> None:
    app.config["ENDPOINT"] = OLLAMA.url
    assert "Remove" not in alice.get("/endpoints").text
    response = alice.send_form("DELETE", "/endpoints/ollama")
    assert response.status_code == 409
    assert "CHATSITE_ENDPOINT or models.toml" in response.text


@pytest.mark.parametrize(
    ("endpoint", "sentence", "lead"),
    [
        (OLLAMA, "Your messages stay on this computer", "All models run here or in this network."),
        (HOUSE, "Your messages stay in this network: 192.168.1.5", "All models run here or in this network."),
        (CLOUD, "Your messages leave this computer: models.example.com", "a model on models.example.com answers."),
    ],
)
def test_pages_say_where_words_go(app: Flask, alice: WebClient, endpoint: Endpoint, sentence: str, lead: str) -> None:
    add(app, endpoint)
    model = f"{endpoint.name}/llama3.2:3b"
    models_page, model_page = alice.get("/models").text, alice.get(f"/models/{model}").text
    assert sentence in models_page
    assert lead in models_page
    assert sentence in model_page
    front = alice.get(f"/?model={model}").text
    assert sentence in front
    is_private = endpoint is OLLAMA
    assert ("nothing leaves it" in front) is is_private
    status = alice.get(f"/model-status?model={model}").text
    assert (sentence in status) is not is_private


def test_failure_and_pause_of_server_are_told(app: Flask, alice: WebClient) -> None:
    add(app, OLLAMA, error=True)
    with app.app_context():
        endpoint_status.save_block("ollama", 60, None)
        db.session.remove()
    text = visible_text(alice.get("/models").text)
    assert "Failed: ollama cannot be reached. Next attempt at" in text
    status = visible_text(alice.get("/model-status?model=ollama/llama3.2:3b").text)
    assert "is unavailable: ollama cannot be reached." in status
    picker = visible_text(alice.get("/").text)
    assert "ollama · does not answer now · Your messages stay on this computer" in picker


def test_model_of_removed_server_is_named_as_gone(app: Flask, alice: WebClient) -> None:
    add(app, OLLAMA)
    address = ask(alice)
    assert "no longer available" not in alice.get(address).text
    alice.send_form("DELETE", "/endpoints/ollama")
    page = visible_text(alice.get(address).text)
    assert "is no longer available. Choose a model for the next answers." in page
    assert "The model of this chat is no longer available. Choose another one." in page


def test_models_of_servers_have_a_group_in_the_picker(app: Flask, alice: WebClient) -> None:
    add(app, OLLAMA)
    add(app, CLOUD)
    page = alice.get("/").text
    assert page.index("cloud ·") < page.index("cloud/llama") < page.index("ollama ·") < page.index("ollama/llama3.2:3b")
    assert page.count('role="group" aria-labelledby="model-picker-model-group') == 2


def test_site_without_servers_says_nothing_of_them(app: Flask, alice: WebClient) -> None:
    app.config["ALLOW_MODEL_MANAGEMENT"] = False
    assert "Other servers" not in alice.get("/models").text
    assert "model-picker-model-group" not in alice.get("/").text


@pytest.mark.parametrize("can_continue", [True, False])
def test_continue_is_offered_where_the_server_can(
    app: Flask, alice: WebClient, finish_answers: Callable[..., None], can_continue: bool
) -> None:
    add(app, OLLAMA)
    with app.app_context():
        endpoint_status.save_capabilities("ollama", {"continue": {"llama3.2:3b": can_continue}})
        db.session.remove()
    address = ask(alice)
    finish_answers("Half an", Status.STOPPED, "cancelled")
    page = alice.get(address).text
    assert ('value="continue"' in page) is can_continue
    assert 'value="retry"' in page
