"""The page of an error says what is, what to do next, and where to go; even when the database is what broke."""

from __future__ import annotations

import pytest
from flask import Flask

from chatsite.database import db
from tests.support.web_fixtures import WebClient


def test_404_page_suggests_search(alice: WebClient) -> None:
    response = alice.get("/nowhere")
    assert response.status_code == 404
    assert "<h1" in response.text
    assert "It may have been deleted" in response.text
    assert 'href="/search"' in response.text


@pytest.mark.parametrize(
    ("method", "path", "status", "hint"),
    [
        ("DELETE", "/health", 404, "It may have been deleted"),
        ("POST", "/healthz", 405, "Go back and try again"),
    ],
)
def test_error_page_shows_hint_for_status(alice: WebClient, method: str, path: str, status: int, hint: str) -> None:
    response = alice.send_form(method, path)
    assert response.status_code == status
    assert hint in response.text
    assert f"Error {status}" in response.text


def test_413_page_suggests_shorter_text(app: Flask, alice: WebClient) -> None:
    alice.get("/")
    app.config["MAX_CONTENT_LENGTH"] = 1000
    response = alice.post_question("word " * 1000)
    assert response.status_code == 413
    assert "Shorten it" in response.text


def test_503_page_keeps_typed_text(app: Flask, alice: WebClient) -> None:
    app.config["MAX_QUEUED"] = 1
    alice.post_question("First")
    response = alice.post_question("A question that has to wait")
    assert response.status_code == 503
    assert response.headers["Retry-After"]
    assert "Your text is still here" in response.text
    assert ">A question that has to wait</textarea>" in response.text


def test_error_page_renders_without_database(app: Flask, alice: WebClient) -> None:
    alice.start_conversation()
    with app.app_context():
        db.drop_all()
    response = alice.get("/")
    assert response.status_code == 500
    assert "Everything you sent before is saved." in response.text
    assert 'href="/"' in response.text
