"""A link from the terminal makes a browser the terminal's visitor: once, soon, and only by a click."""

from __future__ import annotations

import time

import pytest
from flask import Flask
from flask.testing import FlaskClient

from chatsite.cli.chat_client import ChatClient
from chatsite.database import db
from chatsite.services.accounts import terminal_links
from chatsite.services.transfer import user_merge
from tests.support.web_fixtures import WebClient


@pytest.fixture
def terminal(app: Flask) -> ChatClient:
    """A terminal that asked something."""
    with app.app_context():
        found = ChatClient(app)
        found.ask_question("From the terminal")
        return found


@pytest.fixture
def link(app: Flask, terminal: ChatClient) -> str:
    """The path of a link."""
    with app.app_context():
        return terminal.create_link()


def cookies(client: FlaskClient) -> object:
    """The visitor's cookie."""
    return WebClient(client).find_cookie("chatsite_visitor")


def test_link_joins_browser_and_terminal(app: Flask, link: str) -> None:
    browser = WebClient(app.test_client())
    browser.post_question("From the browser")
    page = browser.get(link)
    assert page.status_code == 200
    assert browser.send_form("POST", link).status_code == 303
    sidebar = browser.get("/").text
    assert "From the terminal" in sidebar
    assert "From the browser" in sidebar


def test_terminal_sees_conversations_from_browser(app: Flask, terminal: ChatClient, link: str) -> None:
    browser = WebClient(app.test_client())
    browser.post_question("From the browser")
    browser.get(link)
    browser.send_form("POST", link)
    with app.app_context():
        titles = {conversation.title for conversation in terminal.list_conversations()}
    assert titles == {"From the terminal", "From the browser"}


def test_opening_link_page_changes_nothing(app: Flask, link: str) -> None:
    client = app.test_client()
    for _ in range(2):
        assert client.get(link).status_code == 200
    assert cookies(client) is None
    assert "From the terminal" not in client.get("/").text


def test_link_works_once(app: Flask, link: str) -> None:
    first, second = WebClient(app.test_client()), WebClient(app.test_client())
    for browser in (first, second):
        browser.get(link)
    assert first.send_form("POST", link).status_code == 303
    assert second.send_form("POST", link).status_code == 404
    assert "From the terminal" not in second.get("/").text
    assert second.get(link).status_code == 404


def test_two_browsers_that_sent_the_same_form_join_the_terminal(app: Flask, terminal: ChatClient) -> None:
    for text in ("From one", "From another"):
        browser = WebClient(app.test_client())
        browser.post_question(text, idempotency_key="same form")
        with app.app_context():
            link = terminal.create_link()
        browser.get(link)
        assert browser.send_form("POST", link).status_code == 303
    page = browser.get("/").text
    assert "From one" in page
    assert "From another" in page


def test_link_stays_valid_if_joining_fails(app: Flask, link: str, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = WebClient(app.test_client())
    browser.post_question("From the browser")
    browser.get(link)
    with monkeypatch.context() as patch:
        patch.setattr(user_merge, "merge_users", lambda *_: 1 / 0)
        assert browser.send_form("POST", link).status_code == 500
    assert browser.send_form("POST", link).status_code == 303
    assert "From the terminal" in browser.get("/").text
    assert list(app.config["INSTANCE"].glob(".terminal_link*")) == []


def test_link_requires_csrf_token(app: Flask, link: str) -> None:
    assert app.test_client().post(link).status_code == 400


def test_new_link_invalidates_older_link(app: Flask, terminal: ChatClient, link: str) -> None:
    with app.app_context():
        terminal.create_link()
    assert app.test_client().get(link).status_code == 404


def test_link_expires_after_ten_minutes(app: Flask, link: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + terminal_links.LINK_SECONDS + 2)
    assert app.test_client().get(link).status_code == 404


@pytest.mark.parametrize("forged", ["/terminal-links/x", "/terminal-links/a.b.c", "/terminal-links/" + "9" * 5000])
def test_forged_link_gets_404(app: Flask, link: str, forged: str) -> None:
    assert app.test_client().get(forged).status_code == 404


def test_altered_signature_gets_404(app: Flask, link: str) -> None:
    """The very last letter has spare bits that decoding ignores; every other carries six bits of the signature."""
    last_but_one = "a" if link[-2] != "a" else "b"
    assert app.test_client().get(link[:-2] + last_but_one + link[-1]).status_code == 404


def test_link_does_not_contain_token(app: Flask, link: str) -> None:
    token = terminal_links.terminal_token(app.config["INSTANCE"])
    assert token not in link
    with app.app_context():
        db.session.remove()
