"""The files of `docs/deploy`: what a proxy may not do, and what the service may not."""

from __future__ import annotations

import re

import pytest

from chatsite.settings import ROOT, SETTINGS

DEPLOY = ROOT / "docs" / "deploy"
NGINX = ("nginx.conf", "nginx.subpath.conf")


def directives(name: str) -> str:
    """The text of a file without its comments."""
    return re.sub(r"^\s*#.*$|(?<=[;{]) *#.*$", "", (DEPLOY / name).read_text(encoding="utf-8"), flags=re.MULTILINE)


@pytest.mark.parametrize("name", NGINX)
def test_nginx_compresses_nothing(name: str) -> None:
    """Debian's nginx.conf has `gzip on`, which always means pages, so each server has to say no."""
    assert set(re.findall(r"\b(?:gzip|brotli|zstd)\w* [^;]+;", directives(name))) == {"gzip off;"}


def test_caddy_compresses_nothing() -> None:
    assert not re.search(r"^\s*encode\b", directives("Caddyfile"), re.MULTILINE)


@pytest.mark.parametrize("name", [*NGINX, "Caddyfile"])
def test_proxy_passes_no_prefix_of_client_on(name: str) -> None:
    text = directives(name)
    assert 'proxy_set_header X-Forwarded-Prefix "";' in text or "header_up -X-Forwarded-Prefix" in text


@pytest.mark.parametrize("name", NGINX)
def test_nginx_limits_each_client(name: str) -> None:
    text = directives(name)
    for directive in ("limit_req zone=", "limit_conn ", "client_max_body_size 1m;", "client_body_timeout "):
        # nginx does not start with one that is there twice.
        assert text.count(directive) == 1, directive


@pytest.mark.parametrize("name", ["nginx.conf", "Caddyfile"])
def test_proxy_with_https_says_so_and_hides_its_version(name: str) -> None:
    text = directives(name)
    assert re.search(r'Strict-Transport-Security "max-age=\d{8}"', text)
    assert "server_tokens off;" in text or "header -Server" in text


def test_service_has_settings_that_exist_and_is_shut_in() -> None:
    text = directives("chatsite.service")
    names = set(re.findall(r"^Environment=(CHATSITE_\w+)=", text, re.MULTILINE))
    assert names <= {setting.environment_variable for setting in SETTINGS}
    for line in ("UMask=0077", "StateDirectoryMode=0700", "CapabilityBoundingSet=", "SystemCallFilter=@system-service"):
        assert line in text.splitlines()
