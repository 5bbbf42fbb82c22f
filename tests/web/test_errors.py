"""The page of an error says what is, what to do next, and where to go; even when the database is what broke."""

from __future__ import annotations

import pytest
from flask import Flask

from chatsite.database import db
from tests.web.conftest import Browser


def test_what_is_not_there_leads_on(alice: Browser) -> None:
    response = alice.get("/nowhere")
    assert response.status_code == 404
    assert "<h1" in response.text
    assert "The address may be mistyped" in response.text
    assert 'href="/search"' in response.text


@pytest.mark.parametrize(
    ("method", "path", "status", "hint"),
    [
        ("DELETE", "/health", 404, "The address may be mistyped"),
        ("POST", "/healthz", 405, "Go back one page"),
    ],
)
def test_each_kind_has_its_hint(alice: Browser, method: str, path: str, status: int, hint: str) -> None:
    response = alice.send(method, path)
    assert response.status_code == status
    assert hint in response.text
    assert f"Error {status}" in response.text


def test_what_is_too_large_is_to_be_shortened(app: Flask, alice: Browser) -> None:
    alice.get("/")
    app.config["MAX_CONTENT_LENGTH"] = 1000
    response = alice.ask("word " * 1000)
    assert response.status_code == 413
    assert "Shorten it" in response.text


def test_a_site_that_is_too_busy_keeps_what_was_typed(app: Flask, alice: Browser) -> None:
    app.config["QUEUE_TOTAL"] = 1
    alice.ask("First")
    response = alice.ask("A question that has to wait")
    assert response.status_code == 503
    assert response.headers["Retry-After"]
    assert "Your text is still here" in response.text
    assert ">A question that has to wait</textarea>" in response.text


def test_a_broken_database_still_has_a_page_for_it(app: Flask, alice: Browser) -> None:
    alice.start()
    with app.app_context():
        db.drop_all()
    response = alice.get("/")
    assert response.status_code == 500
    assert "Nothing that you sent before is lost." in response.text
    assert 'href="/"' in response.text
