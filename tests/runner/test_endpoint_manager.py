"""Endpoints in a real runner, with real servers on this machine: asked, used, shared, lost, found and given up."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select

from chatsite.database import db
from chatsite.engine.catalog.endpoints import NAME_BY_PORT, Endpoint
from chatsite.models import Conversation, EndpointState, Generation, Message, Status, StoredEndpoint
from chatsite.models import Runner as RunnerRow
from chatsite.runner.endpoint_manager import EndpointManager
from chatsite.runner.loop import Runner
from chatsite.runner.model_manager import ModelManager
from chatsite.runner.process import build_model_pool
from chatsite.services.accounts import users
from chatsite.services.chat import generation_leases, generations, messages
from chatsite.services.chat.claim_selection import RunnerModels
from chatsite.services.chat.generations import QueueLimits
from chatsite.services.models import catalog, endpoint_status, endpoints
from chatsite.services.models.choice import ModelChoice
from chatsite.services.models.endpoint_status import EndpointFacts
from tests.conftest import close_app, make_app
from tests.support.model_server import (
    SILENCE,
    HttpRequest,
    ModelServer,
    head,
    json_reply,
    openai_stream,
    with_models,
    words_of,
)
from tests.support.served_site import wait_until

KEY = "sk-nobody-may-read-this"
TEXT = "Foxes are red and quick."
LIMITS = QueueLimits(max_message_chars=8000, max_queued_per_user=20, max_queued=50)


def answer(request: HttpRequest) -> Iterable[object]:
    """Write the text; a question that asks for silence gets the beginning of it, and then nothing."""
    yield head()
    if "silence" in str(request.body):
        yield from list(openai_stream(words_of(TEXT)))[:3]
        yield SILENCE
    yield from openai_stream(words_of(TEXT), {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25})


@contextmanager
def running(app: Flask, **environ: str) -> Iterator[Runner]:
    """A whole runner of an app, in a thread."""
    stop = threading.Event()
    with app.app_context():
        manager = EndpointManager(app.config, environ)
        manager.read_endpoints()
        pool = build_model_pool(app.config, manager)
        model_manager = ModelManager(app.config, pool)
    runner = Runner(app, pool, stop, model_manager=model_manager, endpoint_manager=manager)
    thread = threading.Thread(target=runner.run)
    thread.start()
    try:
        yield runner
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer(with_models(answer, "fox", "hare")) as listening:
        yield listening


@pytest.fixture
def site(tmp_path: Path, server: ModelServer) -> Iterator[Flask]:
    """An app that knows the server as `house`, with two places, in its context."""
    house = f'[house]\nendpoint = "{server.url}"\nmax_answers = 2\nkey_env = "HOUSE_KEY"\n'
    (tmp_path / "models.toml").write_text(house, "utf-8")
    app = make_app(tmp_path, CUSTOM_MODELS_FILE=tmp_path / "models.toml")
    with app.app_context():
        yield app
        db.session.remove()
    close_app(app)


def ask(text: str = "Hi", model: str = "house/fox") -> int:
    """Ask a question; returns the generation."""
    alice = users.get_or_create_by_token("alice")
    new, choice = messages.NewConversation("Hi"), ModelChoice(model)
    started = messages.start_conversation(alice, new, messages.NewMessage(text), limits=LIMITS, choice=choice)
    assert started.answer.generation
    return started.answer.generation.id


def load(generation_id: int) -> Generation:
    db.session.rollback()
    return db.session.get_one(Generation, generation_id, populate_existing=True)


def text_of(generation_id: int) -> str:
    message = db.session.get_one(Message, load(generation_id).message_id, populate_existing=True)
    return message.text + generations.partial_texts(generation_id)[0]


def state_of(name: str = "house") -> EndpointState | None:
    db.session.rollback()
    row = db.session.get(StoredEndpoint, name, populate_existing=True)
    return row.state if row else None


def wait_for(generation_id: int, status: Status) -> None:
    wait_until(lambda: load(generation_id).status is status, what=f"Status {status}")


def test_server_is_asked_and_answers(site: Flask, server: ModelServer) -> None:
    with running(site, HOUSE_KEY=KEY):
        wait_until(lambda: state_of() is EndpointState.READY)
        names = [card.name for card in catalog.list_available(catalog.read_catalog_config(site.config))]
        assert names[-2:] == ["house/fox", "house/hare"]
        asked, local = ask(), ask("/say Local.", "scripted")
        for each in (asked, local):
            wait_for(each, Status.DONE)
        assert text_of(asked) == TEXT
        assert text_of(local) == "Local."
    [sent] = server.asked("/chat/completions")
    assert sent.headers["authorization"] == f"Bearer {KEY}"
    db.session.remove()
    stored = b"".join(path.read_bytes() for path in Path(site.config["INSTANCE"]).glob("chatsite.db*"))
    assert b"house/fox" in stored
    assert KEY.encode() not in stored


def test_two_runners_share_places(site: Flask, server: ModelServer) -> None:
    with running(site, HOUSE_KEY=KEY), running(site, HOUSE_KEY=KEY):
        wait_until(lambda: state_of() is EndpointState.READY)
        silent = [ask("silence") for _ in range(2)]
        for each in silent:
            wait_until(lambda each=each: text_of(each) != "")
        waiting, local = ask(), ask("/say Local.", "scripted")
        wait_for(local, Status.DONE)
        assert load(waiting).status is Status.QUEUED
        assert len(server.asked("/chat/completions")) == 2
        generations.stop(db.session.get_one(Message, load(silent[0]).message_id))
        wait_for(silent[0], Status.STOPPED)
        wait_for(waiting, Status.DONE)
        assert sum(request.was_abandoned.is_set() for request in server.asked("/chat/completions")) == 1


def test_places_of_dead_runner_are_free_again(site: Flask) -> None:
    with running(site, HOUSE_KEY=KEY):
        wait_until(lambda: state_of() is EndpointState.READY)
    asked = [ask() for _ in range(3)]
    reached = frozenset({"house"})
    held = generation_leases.claim("dead", 4, 0.001, max_attempts=2, models=RunnerModels(frozenset(), reached, reached))
    assert len(held) == 2
    with running(site, HOUSE_KEY=KEY):
        for each in asked:
            wait_for(each, Status.DONE)


def test_server_that_died_refuses_and_comes_back(site: Flask, server: ModelServer) -> None:
    with running(site, HOUSE_KEY=KEY):
        wait_until(lambda: state_of() is EndpointState.READY)
        server.close()
        asked = ask()
        wait_for(asked, Status.FAILED)
        assert str(load(asked).error) == "house cannot be reached."
        wait_until(lambda: state_of() is EndpointState.FAILED)
        again = ask()
        wait_for(again, Status.FAILED)
        with ModelServer(with_models(answer, "fox"), server.port):
            endpoints.request_check(catalog.read_catalog_config(site.config), "house")
            wait_until(lambda: state_of() is EndpointState.READY)
            asked = ask()
            wait_for(asked, Status.DONE)


def test_missing_key_is_the_reason(site: Flask, server: ModelServer) -> None:
    with running(site):
        wait_until(lambda: state_of() is EndpointState.FAILED)
        asked = ask()
        wait_for(asked, Status.FAILED)
        assert "HOUSE_KEY" in str(load(asked).error)
    assert server.requests == []


def test_endpoint_is_added_and_taken_away_while_runner_works(site: Flask, server: ModelServer) -> None:
    config = catalog.read_catalog_config(site.config)
    with running(site, HOUSE_KEY=KEY), ModelServer(with_models(answer, "owl")) as other:
        endpoints.add_endpoint(Endpoint("barn", other.url))
        wait_until(lambda: state_of("barn") is EndpointState.READY)
        asked = ask(model="barn/owl")
        wait_for(asked, Status.DONE)
        endpoints.remove(config, "barn")
        # A question that was asked before its server was taken away gets an answer, or the reason why not.
        late = ask(model="barn/owl")
        wait_until(lambda: not load(late).is_in_progress)
        assert load(late).status is Status.DONE or load(late).error is not None


def test_default_model_may_be_of_an_endpoint(tmp_path: Path, server: ModelServer) -> None:
    (tmp_path / "models.toml").write_text(f'[house]\nendpoint = "{server.url}"\n', "utf-8")
    app = make_app(tmp_path, CUSTOM_MODELS_FILE=tmp_path / "models.toml", DEFAULT_MODEL="house/hare")
    with app.app_context(), running(app):
        asked = ask(model="house/hare")
        wait_for(asked, Status.DONE)
        assert [request.body["model"] for request in server.asked("/chat/completions")] == ["hare"]
        db.session.remove()
    close_app(app)


def test_endpoint_answers_while_local_model_cannot_be_loaded(tmp_path: Path, server: ModelServer) -> None:
    tables = f'[house]\nendpoint = "{server.url}"\n[away]\nfolder = "nowhere"\n'
    (tmp_path / "models.toml").write_text(tables, "utf-8")
    app = make_app(tmp_path, CUSTOM_MODELS_FILE=tmp_path / "models.toml", DEFAULT_MODEL="away")
    with app.app_context(), running(app):
        asked, local = ask(model="house/hare"), ask(model="away")
        wait_for(asked, Status.DONE)
        assert text_of(asked) == TEXT
        assert load(local).status is Status.QUEUED
        db.session.remove()
    close_app(app)


def test_default_model_may_be_of_an_endpoint_that_was_added(tmp_path: Path, server: ModelServer) -> None:
    app = make_app(tmp_path, DEFAULT_MODEL="barn/fox")
    with app.app_context():
        endpoints.add_endpoint(Endpoint("barn", server.url))
        with running(app):
            asked = ask(model="barn/fox")
            wait_for(asked, Status.DONE)
        db.session.remove()
    close_app(app)


def test_failure_of_one_runner_says_nothing_where_another_is_answered(site: Flask, server: ModelServer) -> None:
    """The second runner has no key, as if its network did not lead there."""
    with running(site, HOUSE_KEY=KEY) as first:
        wait_until(lambda: state_of() is EndpointState.READY)
        wait_until(lambda: _reached(first.owner) == ["house"])
        with running(site):
            asked = [ask() for _ in range(4)]
            for each in asked:
                wait_for(each, Status.DONE)
        assert state_of() is EndpointState.READY


def _reached(owner: str) -> list[str] | None:
    db.session.rollback()
    row = db.session.get(RunnerRow, owner, populate_existing=True)
    return row.endpoints if row else None


def test_look_finds_what_listens_at_a_usual_port(site: Flask) -> None:
    config = catalog.read_catalog_config(site.config)
    with ExitStack() as stack:
        listening = stack.enter_context(_open_usual_port())
        name = NAME_BY_PORT[listening.port]
        with running(site, HOUSE_KEY=KEY):
            endpoints.request_discovery()
            wait_until(lambda: _has_looked())
            assert name in {card.name for card in endpoints.list_found(config)}
            endpoints.add(name)
            asked = ask(model=f"{name}/owl")
            wait_for(asked, Status.DONE)


def _has_looked() -> bool:
    db.session.rollback()
    return endpoints.get_discovery_status().finished_at is not None


def _open_usual_port() -> ModelServer:
    """A server at the first of the usual ports that nobody uses."""
    for port in NAME_BY_PORT:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                continue
        try:
            return ModelServer(with_models(answer, "owl"), port)
        except OSError:
            continue
    pytest.skip("All usual ports of this machine are taken.")


def test_family_of_added_server_follows_the_server(site: Flask, server: ModelServer) -> None:
    config = catalog.read_catalog_config(site.config)
    barn = Endpoint("barn", server.url)
    endpoints.add_endpoint(barn)
    endpoint_status.save_facts(barn, EndpointFacts("llama-cpp", []))
    known = {each.endpoint.name: each.endpoint for each in endpoint_status.list_known(config)}
    # Whatever it was before: it is asked again what it is.
    assert known["barn"] == barn
    with running(site, HOUSE_KEY=KEY):
        wait_until(lambda: family_of("barn") not in {"", "llama-cpp"})


def family_of(name: str) -> str:
    db.session.rollback()
    return db.session.get_one(StoredEndpoint, name, populate_existing=True).family


def test_titles_are_left_to_the_runner_that_reaches_the_server(tmp_path: Path) -> None:
    """A model that is large enough to name conversations."""
    large = {"data": [{"id": "fox", "meta": {"n_params": 10**9}}]}
    with ModelServer(lambda request: json_reply(large) if request.method == "GET" else answer(request)) as server:
        house = f'[house]\nendpoint = "{server.url}"\nkey_env = "HOUSE_KEY"\n'
        (tmp_path / "models.toml").write_text(house, "utf-8")
        app = make_app(tmp_path, CUSTOM_MODELS_FILE=tmp_path / "models.toml")
        with app.app_context(), running(app, HOUSE_KEY=KEY) as first, running(app):
            wait_until(lambda: _reached(first.owner) == ["house"])
            for number in range(4):
                alice = users.get_or_create_by_token("alice")
                new, choice = messages.NewConversation("Hi", wants_model_title=True), ModelChoice("house/fox")
                messages.start_conversation(
                    alice, new, messages.NewMessage(f"Hi {number}"), limits=LIMITS, choice=choice
                )
            wait_until(lambda: _titles() == {TEXT.rstrip(".")}, what="The titles")
        close_app(app)


def _titles() -> set[str]:
    db.session.rollback()
    return set(db.session.scalars(select(Conversation.title)))
