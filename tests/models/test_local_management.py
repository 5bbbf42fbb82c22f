"""`make run` lets people at the computer itself manage models; whoever comes through a proxy is somebody else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from chatsite.engine.catalog.catalog import PREFERRED_MODEL
from chatsite.settings import LOCAL, InvalidValueError, parse_local_flag
from tests.conftest import close_app, make_app
from tests.support.web_fixtures import WebClient

WEIGHTS = f"/models/{PREFERRED_MODEL}/weights"
STRANGERS = [
    {"REMOTE_ADDR": "192.168.1.7"},
    {"REMOTE_ADDR": ""},
    {"HTTP_X_FORWARDED_FOR": "198.51.100.7"},
    {"HTTP_X_FORWARDED_FOR": "127.0.0.1"},
    {"HTTP_FORWARDED": "for=127.0.0.1"},
    {"HTTP_X_REAL_IP": "127.0.0.1"},
    {"HTTP_VIA": "1.1 cache"},
]


@pytest.fixture(params=[0, 1], ids=["no proxy", "trusted proxy"])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Flask]:
    """An app as `make run` starts it, with and without a proxy that it trusts."""
    settings = {"ALLOW_MODEL_MANAGEMENT": LOCAL, "TRUSTED_HOSTS": ["chat.example.org", "localhost"]}
    made = make_app(tmp_path, DEFAULT_MODEL="auto", TRUSTED_PROXY_COUNT=request.param, **settings)
    yield made
    close_app(made)


def test_browser_on_this_computer_may_manage(alice: WebClient) -> None:
    assert f'action="{WEIGHTS}' in alice.get("/models").text
    assert alice.send_form("POST", WEIGHTS).status_code == 303
    assert alice.send_form("POST", "/endpoints/discovery").status_code == 303


@pytest.mark.parametrize("environ", STRANGERS, ids=lambda environ: next(iter(environ)))
def test_stranger_may_not(alice: WebClient, environ: dict[str, str]) -> None:
    alice.get("/")
    alice.client.environ_base.update(environ)
    page = alice.get("/models")
    assert page.status_code == 200
    assert 'action="/models/' not in page.text
    assert "Look for servers" not in page.text
    for method, path in (("POST", WEIGHTS), ("DELETE", WEIGHTS), ("POST", "/endpoints/discovery")):
        assert alice.send_form(method, path).status_code == 403, path


def test_browser_that_asks_for_another_host_may_not(alice: WebClient) -> None:
    page = alice.get("/models", headers={"Host": "chat.example.org"})
    assert page.status_code == 200
    assert 'action="/models/' not in page.text


def test_setting_has_three_values() -> None:
    assert [parse_local_flag(text) for text in ("1", "0", "Local")] == [True, False, LOCAL]
    with pytest.raises(InvalidValueError, match="1, 0 or local"):
        parse_local_flag("all")
