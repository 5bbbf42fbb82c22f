"""A link from the terminal makes a browser the terminal's visitor: once, soon, and only by a click."""

from __future__ import annotations

import time

import pytest
from flask import Flask
from flask.testing import FlaskClient

from chatsite.cli.terminal import Terminal
from chatsite.database import db
from chatsite.services import links
from tests.web.conftest import Browser


@pytest.fixture
def terminal(app: Flask) -> Terminal:
    """A terminal that asked something."""
    with app.app_context():
        found = Terminal(app)
        found.ask("From the terminal")
        return found


@pytest.fixture
def link(app: Flask, terminal: Terminal) -> str:
    """The path of a link."""
    with app.app_context():
        return terminal.link()


def cookies(client: FlaskClient) -> object:
    """The visitor's cookie."""
    return client.get_cookie("chatsite_visitor")


def test_it_works(app: Flask, link: str) -> None:
    browser = Browser(app.test_client())
    browser.ask("From the browser")
    page = browser.get(link)
    assert page.status_code == 200
    assert browser.send("POST", link).status_code == 303
    sidebar = browser.get("/").text
    assert "From the terminal" in sidebar
    assert "From the browser" in sidebar


def test_the_terminal_sees_what_the_browser_brought(app: Flask, terminal: Terminal, link: str) -> None:
    browser = Browser(app.test_client())
    browser.ask("From the browser")
    browser.get(link)
    browser.send("POST", link)
    with app.app_context():
        titles = {conversation.title for conversation in terminal.conversations()}
    assert titles == {"From the terminal", "From the browser"}


def test_looking_at_it_changes_nothing(app: Flask, link: str) -> None:
    client = app.test_client()
    for _ in range(2):
        assert client.get(link).status_code == 200
    assert cookies(client) is None
    assert "From the terminal" not in client.get("/").text


def test_it_works_once(app: Flask, link: str) -> None:
    first, second = Browser(app.test_client()), Browser(app.test_client())
    for browser in (first, second):
        browser.get(link)
    assert first.send("POST", link).status_code == 303
    assert second.send("POST", link).status_code == 404
    assert "From the terminal" not in second.get("/").text
    assert second.get(link).status_code == 404


def test_it_needs_the_token_of_a_form(app: Flask, link: str) -> None:
    assert app.test_client().post(link).status_code == 400


def test_an_older_link_is_void(app: Flask, terminal: Terminal, link: str) -> None:
    with app.app_context():
        terminal.link()
    assert app.test_client().get(link).status_code == 404


def test_it_is_void_after_ten_minutes(app: Flask, link: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + links.LINK_SECONDS + 2)
    assert app.test_client().get(link).status_code == 404


@pytest.mark.parametrize("forged", ["/links/x", "/links/a.b.c", "/links/" + "9" * 5000])
def test_a_forged_link_does_not_exist(app: Flask, link: str, forged: str) -> None:
    assert app.test_client().get(forged).status_code == 404


def test_a_changed_signature_does_not_exist(app: Flask, link: str) -> None:
    """The very last letter has spare bits that decoding ignores; every other carries six bits of the signature."""
    last_but_one = "a" if link[-2] != "a" else "b"
    assert app.test_client().get(link[:-2] + last_but_one + link[-1]).status_code == 404


def test_it_holds_no_secret(app: Flask, link: str) -> None:
    token = links.terminal_token(app.config["INSTANCE"])
    assert token not in link
    with app.app_context():
        db.session.remove()
