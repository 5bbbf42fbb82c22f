"""Limits of a network address: new users cost nothing, so what counts for a user counts for their address too."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import func, select, update

from chatsite.database import db
from chatsite.models import Generation, User
from chatsite.runner.cleanup import Cleanup
from chatsite.services.networks import network_key
from tests.conftest import make_app, postgres_url
from tests.support.web_fixtures import WebClient

ATTACKER, HONEST = "203.0.113.7", "198.51.100.9"


@pytest.fixture
def visit(app: Flask) -> Callable[[str], WebClient]:
    """Return a function that makes the browser of a new visitor at an address."""

    def make_client(address: str = ATTACKER) -> WebClient:
        client = app.test_client()
        client.environ_base["REMOTE_ADDR"] = address
        return WebClient(client)

    return make_client


def ask(client: WebClient, count: int = 1) -> list[int]:
    """Begin so many conversations; what is answered."""
    return [client.post_question("Hello").status_code for _ in range(count)]


def test_one_address_leaves_room_for_another(app: Flask, visit: Callable[[str], WebClient]) -> None:
    """Twenty visitors of one address get what an address may have; an honest one elsewhere is still admitted."""
    app.config.update(MAX_QUEUED=20, MAX_QUEUED_PER_ADDRESS=17)
    assert [ask(visit(ATTACKER))[0] for _ in range(20)] == [303] * 16 + [503] * 4
    assert ask(visit(HONEST), 2) == [303, 503]
    assert ask(visit("192.0.2.1")) == [303]


def test_refusal_says_why_and_keeps_the_text(app: Flask, visit: Callable[[str], WebClient]) -> None:
    app.config["MAX_QUEUED_PER_ADDRESS"] = 1
    assert ask(visit(ATTACKER)) == [303]
    refused = visit(ATTACKER).post_question("What I typed")
    assert refused.status_code == 503
    assert refused.headers["Retry-After"] == "10"
    assert "Too many people in your network" in refused.text
    assert "What I typed" in refused.text
    fragment = visit(ATTACKER).post_question("What I typed", htmx=True)
    assert "Too many people in your network" in fragment.text
    assert fragment.headers["HX-Retarget"] == "#notice"


def test_last_places_are_for_those_who_have_none(app: Flask, visit: Callable[[str], WebClient]) -> None:
    """Many addresses fill the queue up to a fifth; what is left is for newcomers, and at last it is full."""
    app.config.update(MAX_QUEUED=10, MAX_QUEUED_PER_USER=5)
    first, second = visit(ATTACKER), visit(HONEST)
    assert ask(first, 5) == [303] * 5
    assert ask(second, 5) == [303] * 3 + [503] * 2
    # A new user at an address that has many answers is none of those for whom the places are kept.
    assert ask(visit(ATTACKER)) == [503]
    assert ask(visit("192.0.2.1"), 2) == [303, 503]
    assert ask(visit("192.0.2.2"), 2) == [303, 503]
    assert ask(visit("192.0.2.3")) == [503]


def test_new_users_of_an_address_are_bounded(app: Flask, visit: Callable[[str], WebClient]) -> None:
    app.config["MAX_NEW_USERS_PER_ADDRESS"] = 3
    known = visit(ATTACKER)
    assert ask(known) == [303]
    assert [ask(visit(ATTACKER)) for _ in range(2)] == [[303], [303]]
    refused = visit(ATTACKER).send_form("POST", "/tags", text="My tag")
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "10"
    assert "Too many new visitors from your network" in refused.text
    assert ask(known) == [303]
    assert ask(visit(HONEST)) == [303]
    # Who only reads makes no user, and a whole IPv6 network counts as one address.
    assert visit(ATTACKER).get("/").status_code == 200
    assert [ask(visit(f"2001:db8:1:2::{n}")) for n in range(4)] == [[303]] * 3 + [[429]]
    assert ask(visit("2001:db8:1:3::1")) == [303]


def test_limits_of_addresses_can_be_turned_off(app: Flask, visit: Callable[[str], WebClient]) -> None:
    app.config.update(LIMIT_ADDRESSES=False, MAX_NEW_USERS_PER_ADDRESS=1, MAX_QUEUED_PER_ADDRESS=1)
    assert [ask(visit(ATTACKER)) for _ in range(4)] == [[303]] * 4
    with app.app_context():
        assert db.session.scalars(select(User.network_key)).all() == [None] * 4
        db.session.remove()


def test_address_is_the_one_before_the_trusted_proxies(tmp_path) -> None:
    app = make_app(tmp_path, TRUSTED_PROXY_COUNT=1, MAX_NEW_USERS_PER_ADDRESS=1)

    def ask_through_proxy(forwarded: str) -> int:
        client = app.test_client()
        client.environ_base["HTTP_X_FORWARDED_FOR"] = forwarded
        return ask(WebClient(client))[0]

    # What the client wrote itself stands before what the proxy adds.
    assert [ask_through_proxy(f"10.0.0.{n}, {ATTACKER}") for n in range(2)] == [303, 429]
    assert ask_through_proxy(HONEST) == 303


@pytest.mark.parametrize("address", ["", "unix:", None])
def test_client_without_address_is_not_limited(app: Flask, address: str | None) -> None:
    assert network_key(address, "k") is None


def test_names_of_addresses() -> None:
    assert network_key("::ffff:203.0.113.7", "k") == network_key("203.0.113.7", "k") != network_key("203.0.113.7", "j")
    assert network_key("fe80::1%eth0", "k") == network_key("fe80::2", "k")
    assert network_key("::1", "k") != network_key("127.0.0.1", "k")


def test_moving_to_another_address_frees_nothing(app: Flask, visit: Callable[[str], WebClient]) -> None:
    app.config["MAX_QUEUED_PER_ADDRESS"] = 2
    mover = visit(ATTACKER)
    assert ask(mover) == [303]
    mover.client.environ_base["REMOTE_ADDR"] = HONEST
    assert ask(mover) == [303]
    assert ask(visit(ATTACKER)) == [503]
    assert ask(visit(HONEST)) == [303]


def test_network_is_forgotten_when_nothing_is_in_progress(
    app: Flask, visit: Callable[[str], WebClient], finish_answers: Callable[..., None]
) -> None:
    assert ask(visit(ATTACKER)) == [303]
    finish_answers()
    assert ask(visit(HONEST)) == [303]
    with app.app_context():
        Cleanup().poll()
        keys = db.session.scalars(select(User.network_key).order_by(User.id)).all()
        assert keys == [None, network_key(HONEST, app.config["SECRET_KEY"])]
        db.session.execute(update(Generation).values(status="done"))
        db.session.commit()
        Cleanup().poll()
        assert db.session.scalars(select(User.network_key)).all() == [None, None]
        db.session.remove()


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_posts_at_the_same_moment_do_not_pass_the_limit(tmp_path, database: str) -> None:
    url = "" if database == "sqlite" else postgres_url()
    app = make_app(tmp_path, DATABASE_URL=url, MAX_QUEUED_PER_ADDRESS=4)
    statuses: list[int] = []
    clients = []
    for _ in range(10):
        client = WebClient(app.test_client())
        client.client.environ_base["REMOTE_ADDR"] = "203.0.113.99"
        client.get("/")
        clients.append(client)
    with app.app_context():
        before = db.session.scalar(select(func.count()).select_from(Generation)) or 0
        db.session.remove()
    threads = [threading.Thread(target=lambda client=client: statuses.extend(ask(client))) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [303] * 4 + [503] * 6
    with app.app_context():
        assert db.session.scalar(select(func.count()).select_from(Generation)) == before + 4
        db.session.remove()
        db.engine.dispose()
