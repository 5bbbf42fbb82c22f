"""The site behind nginx and Caddy with the configurations of `docs/deploy`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.proxies import HOST, ProxyVisitor, running_caddy, running_nginx
from tests.support.served_site import ServedSite, running_site

pytestmark = pytest.mark.exhaustive

ENCODINGS = {"Accept-Encoding": "gzip, br, zstd"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedSite]:
    """A site with the settings of `docs/deploy/chatsite.service`."""
    settings: dict[str, Any] = {"TRUSTED_PROXY_COUNT": "1", "SECURE_COOKIES": "1", "TRUSTED_HOSTS": HOST}
    with running_site(tmp_path_factory.mktemp("site"), **settings, SCRIPTED_TOKENS_PER_SECOND="20") as served:
        yield served


@pytest.fixture(scope="module", params=[running_nginx, running_caddy], ids=["nginx", "caddy"])
def port(request: pytest.FixtureRequest, site: ServedSite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a proxy in front of the site."""
    with request.param(tmp_path_factory.mktemp("proxy"), site) as number:
        yield number


@pytest.fixture
def visitor(port: int) -> ProxyVisitor:
    """A browser behind the proxy."""
    return ProxyVisitor(port)


def test_page_has_headers_and_host_bound_cookies(visitor: ProxyVisitor) -> None:
    response = visitor.open("GET", "/")
    assert response.status == 200
    assert response.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert not re.search(r"[0-9]|caddy", (response.headers["Server"] or "").replace("gunicorn", ""), re.IGNORECASE)
    assert all(name.startswith("__Host-chatsite_") for name in visitor.cookies)


def test_only_the_site_compresses(visitor: ProxyVisitor) -> None:
    foreign = visitor.open("GET", "/?text=guess", headers={**ENCODINGS, "Sec-Fetch-Site": "cross-site"})
    assert "Content-Encoding" not in foreign.headers
    own = visitor.open("GET", "/", headers={**ENCODINGS, "Sec-Fetch-Site": "same-origin"})
    assert own.headers["Content-Encoding"] == "br"
    style = re.findall(r'href="(/static/app\.[^"]+)"', visitor.open("GET", "/").text)[0]
    assert visitor.open("GET", style, headers=ENCODINGS).headers["Content-Encoding"] == "br"


@pytest.mark.parametrize("name", ["X-Forwarded-Prefix", "SCRIPT_NAME", "X-Forwarded-Host", "X-Forwarded-Proto"])
def test_headers_of_client_change_nothing(visitor: ProxyVisitor, name: str) -> None:
    page = visitor.open("GET", "/overview", headers={name: "/evil"})
    assert page.status == 200
    assert "evil" not in page.text
    assert 'href="/overview"' in page.text


def test_answer_is_streamed(visitor: ProxyVisitor) -> None:
    conversation = visitor.post("/messages", text="/say " + "word " * 100).headers["Location"]
    page = visitor.open("GET", conversation).text
    answer = re.findall(r'<article id="message-([\w-]{16})"', page)[-1]
    with visitor.opened("GET", f"/messages/{answer}/stream") as stream:
        # The rest, at twenty tokens a second, is still to come.
        first = stream.read1(65536)
        assert first
        assert b"event: done" not in first
        assert b"event: done" in stream.read()


def test_large_bodies_are_for_imports_only(visitor: ProxyVisitor) -> None:
    assert visitor.post("/messages", text="x" * 1_300_000).status == 413
    refused = visitor.open("POST", "/imports", b"x" * 1_300_000)
    assert (refused.status, "cookies are blocked" in refused.text) == (400, True), "the site itself"
