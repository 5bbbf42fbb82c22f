"""What a request gets that names a host which is not admitted: a page for a person, a sentence for a program."""

from __future__ import annotations

import html
from pathlib import Path

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from chatsite.database import db
from tests.conftest import close_app, make_app
from tests.support.web_fixtures import HTMX_HEADERS

BROWSER = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}
LAN = {"SERVER_NAME": "0.0.0.0", "SERVER_PORT": "8000"}
HERE, NEAR, FAR = ({"REMOTE_ADDR": address} for address in ("127.0.0.1", "192.168.1.77", "8.8.4.4"))


def open_page(app: Flask, host: str, environ: dict[str, str], **headers: str) -> TestResponse:
    """Open the site as a browser that was led here by another name."""
    return app.test_client().get("/", headers={**BROWSER, "Host": host, **headers}, environ_overrides=environ)


def test_page_shows_line_to_set_and_needs_neither_session_nor_database(app: Flask) -> None:
    with app.app_context():
        db.drop_all()
    response = open_page(app, "Chat.LAN:9000", {**LAN, **NEAR})
    assert response.status_code == 400
    assert "<h1>This address isn't allowed yet</h1>" in response.text
    assert "CHATSITE_TRUSTED_HOSTS=chat.lan HOST=0.0.0.0 make run" in response.text
    assert "Set-Cookie" not in response.headers
    assert "<form" not in response.text


def test_page_is_in_language_of_reader(app: Flask) -> None:
    text = open_page(app, "chat.lan", {**LAN, **NEAR, "HTTP_ACCEPT_LANGUAGE": "es"}).text
    assert "Esta dirección aún no está permitida" in html.unescape(text)


@pytest.mark.parametrize(
    "headers", [{}, {"Accept": "*/*"}, {"Accept": "application/json"}, {**BROWSER, **HTMX_HEADERS}]
)
def test_program_and_fragment_get_one_sentence(app: Flask, headers: dict[str, str]) -> None:
    response = app.test_client().get("/", headers={"Host": "chat.lan", **headers})
    assert (response.status_code, response.mimetype) == (400, "text/plain")
    assert response.text.count("\n") == 1
    assert "CHATSITE_TRUSTED_HOSTS" in response.text


@pytest.mark.parametrize("host", ["a b", "x;rm -rf", "<script>", "$(id).lan", "localhost:x", "a" * 300])
def test_host_that_is_none_is_not_repeated(app: Flask, host: str) -> None:
    text = html.unescape(open_page(app, host, {**LAN, **NEAR}).text)
    assert "CHATSITE_TRUSTED_HOSTS=" not in text
    assert "add the name to CHATSITE_TRUSTED_HOSTS" in text
    assert f"name {host}" not in text


def test_link_leads_to_an_address_that_works_for_the_visitor(app: Flask) -> None:
    assert 'href="http://localhost:8000/"' in open_page(app, "chat.lan", {**LAN, **HERE}).text
    near = open_page(app, "chat.lan", {**LAN, **NEAR}).text
    assert "localhost" not in near
    # A stranger is told nothing of this machine's networks.
    assert "Open http" not in open_page(app, "chat.lan", {**LAN, **FAR}).text


def test_link_leads_to_public_name_behind_proxy(tmp_path: Path) -> None:
    app = make_app(
        tmp_path, TRUSTED_PROXY_COUNT=1, TRUSTED_HOSTS=["chat.example.org"], SECURE_COOKIES=True, BASE_PATH="/chat"
    )
    text = open_page(
        app, "localhost", FAR, **{"X-Forwarded-Host": "old.example.org", "X-Forwarded-For": "8.8.4.4"}
    ).text
    assert 'href="https://chat.example.org/chat/"' in text
    assert "CHATSITE_TRUSTED_HOSTS=old.example.org</code>" in text
    close_app(app)
