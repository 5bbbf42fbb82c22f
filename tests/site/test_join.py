"""The page for a screen in the room, and what is printed at the start: only addresses that the site answers to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import segno
from flask import Flask
from flask.testing import FlaskClient

from chatsite import addresses
from chatsite.cli.start_message import start_message
from chatsite.qr_codes import QUIET_ZONE, draw_qr_code
from tests.conftest import close_app, make_app

LAN = {"SERVER_NAME": "0.0.0.0", "SERVER_PORT": "8000"}
SETTINGS: dict[str, Any] = {"BASE_PATH": "", "TRUSTED_PROXY_COUNT": 0}
QR_START = "\033["


@pytest.fixture(autouse=True)
def in_one_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine is 192.168.1.20 in its network."""
    monkeypatch.setattr(addresses, "_network_addresses", lambda _wildcard: ["192.168.1.20"])


def shown_urls(client: FlaskClient, environ: dict[str, str], headers: dict[str, str] | None = None) -> list[str]:
    """The addresses on the Join page, the large one first."""
    text = client.get("/join", environ_overrides=environ, headers=headers or {}).text
    return re.findall(r'href="(https?://[^"]+)"', text)


def test_page_shows_address_in_the_network_and_its_code(app: Flask) -> None:
    text = app.test_client().get("/join", environ_overrides={**LAN, "HTTP_HOST": "localhost:8000"}).text
    assert 'href="http://192.168.1.20:8000/" dir="ltr">192.168.1.20:8000</a>' in text
    assert f'd="{draw_qr_code("http://192.168.1.20:8000/").path}"' in text
    assert "http://localhost" not in text


def test_address_that_was_typed_comes_first_and_is_all_that_a_stranger_sees(app: Flask) -> None:
    environ = {**LAN, "HTTP_HOST": "192.168.1.99:8000"}
    assert shown_urls(app.test_client(), {**environ, "REMOTE_ADDR": "192.168.1.7"}) == [
        "http://192.168.1.99:8000/",
        "http://192.168.1.20:8000/",
    ]
    assert shown_urls(app.test_client(), {**environ, "REMOTE_ADDR": "8.8.4.4"}) == ["http://192.168.1.99:8000/"]
    # Anybody can send any header.
    assert shown_urls(app.test_client(), {**LAN, "HTTP_HOST": "localhost", "REMOTE_ADDR": "8.8.4.4"}) == []


def test_page_of_site_for_this_machine_says_how_to_open_it(app: Flask) -> None:
    environ = {"SERVER_NAME": "127.0.0.1", "SERVER_PORT": "9000", "HTTP_HOST": "localhost:9000"}
    text = app.test_client().get("/join", environ_overrides=environ).text
    assert '<code dir="ltr">HOST=0.0.0.0 PORT=9000 make run</code>' in text
    assert "<path d=" not in text.partition("<main")[2]


def test_every_shown_address_is_answered(app: Flask) -> None:
    """Names with subdomains are no address, and a name is good under the port of the site."""
    app.config["NAMED_HOSTS"] = ["chat.lan", ".example.org"]
    app.config["ADMITTED_HOSTS"] = [*app.config["ADMITTED_HOSTS"], "chat.lan", ".example.org"]
    client = app.test_client()
    urls = shown_urls(client, {**LAN, "HTTP_HOST": "127.0.0.1:8000"})
    assert urls == ["http://chat.lan:8000/", "http://192.168.1.20:8000/"]
    for url in urls:
        environ = {**LAN, "HTTP_HOST": url.split("/")[2]}
        assert client.get("/healthz", environ_overrides=environ).status_code == 200


def test_page_behind_proxy_shows_public_address(tmp_path: Path) -> None:
    settings = {"TRUSTED_PROXY_COUNT": 1, "TRUSTED_HOSTS": ["chat.example.org"], "BASE_PATH": "/chat"}
    app = make_app(tmp_path, **settings)
    headers = {"X-Forwarded-Host": "chat.example.org", "X-Forwarded-Proto": "https", "X-Forwarded-For": "192.168.1.7"}
    assert shown_urls(app.test_client(), LAN, headers)[0] == "https://chat.example.org/chat/"
    close_app(app)


def test_code_is_that_of_the_address_with_room_around_it() -> None:
    drawn = draw_qr_code("http://192.168.1.20:8000/")
    squares = {(int(x), int(y)) for x, y in re.findall(r"M(\d+) (\d+)h1v1h-1z", drawn.path)}
    matrix = segno.make_qr("http://192.168.1.20:8000/", error="m").matrix
    expected = {(x + 4, y + 4) for y, row in enumerate(matrix) for x, dark in enumerate(row) if dark}
    assert squares == expected
    assert drawn.size == len(matrix) + 2 * QUIET_ZONE


def test_terminal_shows_code_of_address_for_others() -> None:
    printed = start_message("http://0.0.0.0:8000", SETTINGS, has_terminal=True)
    assert "Other devices on your network reach it at http://192.168.1.20:8000/" in printed
    assert QR_START in printed
    assert "http://localhost:8000/join" in printed


@pytest.mark.parametrize(
    ("listener", "has_terminal", "settings"),
    [
        ("http://0.0.0.0:8000", False, SETTINGS),
        ("http://127.0.0.1:8000", True, SETTINGS),
        ("http://[::1]:8000", True, SETTINGS),
        ("unix:/run/chatsite/socket", True, SETTINGS),
        ("http://0.0.0.0:8000", True, {**SETTINGS, "TRUSTED_PROXY_COUNT": 1}),
    ],
)
def test_log_file_private_site_and_proxied_site_get_no_code(
    listener: str, has_terminal: bool, settings: dict[str, Any]
) -> None:
    assert QR_START not in start_message(listener, settings, has_terminal=has_terminal)
