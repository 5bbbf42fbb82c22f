"""The names and addresses that the site answers to, and how it prints its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask

from chatsite.addresses import listener_urls, local_site_url, read_listen_address
from chatsite.config import ConfigError, admitted_hosts, read_settings
from chatsite.hosts import is_admitted, normalize_host, url_host
from tests.conftest import close_app, make_app

REFUSED = ["evil.example", "localhost.evil.example", "evillocalhost", "192.168.1.5", "[fd00::1]", "localhost:x", "a b"]


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8000", "localhost.", "127.0.0.1:80", "[::1]", "[::1]:8000", "[0:0:0:0:0:0:0:1]"]
)
def test_this_machine_is_admitted(app: Flask, host: str) -> None:
    assert app.test_client().get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", REFUSED)
def test_other_hosts_are_refused(app: Flask, host: str) -> None:
    response = app.test_client().get("/", headers={"Host": host})
    assert response.status_code == 400
    assert "CHATSITE_TRUSTED_HOSTS" in response.text


@pytest.mark.parametrize("listener", ["0.0.0.0", "::"])
@pytest.mark.parametrize(
    ("host", "status"),
    [("192.168.1.5:9000", 200), ("[fd00::1]:9000", 200), ("evil.example:9000", 400), ("192.168.1.5.example", 400)],
)
def test_wildcard_listener_answers_to_every_address_and_to_no_other_name(
    app: Flask, listener: str, host: str, status: int
) -> None:
    environ = {"SERVER_NAME": listener, "HTTP_HOST": host}
    assert app.test_client().get("/healthz", environ_overrides=environ).status_code == status


@pytest.mark.parametrize(("host", "status"), [("192.168.1.20:8000", 200), ("192.168.1.21:8000", 400)])
def test_site_on_one_address_answers_to_that_address(app: Flask, host: str, status: int) -> None:
    """HOST may be a name that stands for the address, which is what is printed."""
    environ = {"SERVER_NAME": "192.168.1.20", "HTTP_HOST": host}
    assert app.test_client().get("/healthz", environ_overrides=environ).status_code == status


@pytest.mark.parametrize("forwarded", ["10.9.8.7", "0.0.0.0"])
def test_proxy_cannot_make_an_address_that_of_the_listener(tmp_path: Path, forwarded: str) -> None:
    app = make_app(tmp_path, TRUSTED_PROXY_COUNT=1)
    headers = {"Host": "localhost", "X-Forwarded-Host": forwarded}
    assert app.test_client().get("/healthz", headers=headers).status_code == 400
    close_app(app)


def test_proxy_cannot_make_listener_a_wildcard_for_names(tmp_path: Path) -> None:
    app = make_app(tmp_path, TRUSTED_PROXY_COUNT=1)
    headers = {"Host": "localhost", "X-Forwarded-Host": "evil.example"}
    assert app.test_client().get("/healthz", headers=headers).status_code == 400
    close_app(app)


@pytest.mark.parametrize(
    ("trusted", "host"),
    [
        ("[fd00::5]", "[fd00::5]:8000"),
        ("fd00:0::5", "[FD00::5]"),
        ("Chat.Example.org", "chat.example.ORG"),
        ("chat.example.org:8443", "chat.example.org:8443"),
        (".example.org", "a.b.example.org"),
        (".example.org", "example.org"),
        ("exämple.org", "xn--exmple-cua.org"),
        ("192.168.1.5", "192.168.1.5:9000"),
    ],
)
def test_trusted_host_is_admitted_in_every_spelling(trusted: str, host: str) -> None:
    assert is_admitted(host, admitted_hosts(read_settings({"CHATSITE_TRUSTED_HOSTS": trusted})["TRUSTED_HOSTS"]))


def test_leading_dot_admits_no_name_that_only_ends_alike() -> None:
    assert not is_admitted("badexample.org", [".example.org"])


@pytest.mark.parametrize("text", ["https://chat.example.org", "chat example", "a..b", "[fd00::g]"])
def test_trusted_host_that_is_none_stops_startup(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a host name"):
        read_settings({"CHATSITE_TRUSTED_HOSTS": text})


@pytest.mark.parametrize(("bound", "host"), [("::1", "[::1]"), ("fd00::5", "[fd00::5]"), ("localhost", "localhost")])
def test_address_that_site_is_bound_to_is_admitted(monkeypatch: pytest.MonkeyPatch, bound: str, host: str) -> None:
    monkeypatch.setenv("HOST", bound)
    assert is_admitted(host, admitted_hosts([]))


@pytest.mark.parametrize("text", ["", ":", ":80", "[", "[]", "a" * 300, "\x00", "é" * 100 + ".org", "a/b", "..", "%"])
def test_what_is_no_host_has_no_normal_form(text: str) -> None:
    assert normalize_host(text) == ""


@pytest.mark.parametrize(
    ("host", "written"), [("::1", "[::1]"), ("0.0.0.0", "localhost"), ("::", "localhost"), ("127.0.0.1", "127.0.0.1")]
)
def test_host_is_written_as_browsers_take_it(host: str, written: str) -> None:
    assert url_host(host) == written


@pytest.mark.parametrize(
    ("host", "bound"),
    [("", "127.0.0.1:9000"), ("::1", "[::1]:9000"), ("[::]", "[::]:9000"), ("chat.local", "chat.local:9000")],
)
def test_listen_address_is_read_from_environment(host: str, bound: str) -> None:
    assert read_listen_address({"HOST": host, "PORT": "9000"}) == bound
    assert read_listen_address({}) == "127.0.0.1:8000"


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({"HOST": "unix:/run/chatsite.sock"}, "gunicorn --bind unix:/path"),
        ({"HOST": "/run/chatsite.sock"}, "gunicorn --bind unix:/path"),
        ({"HOST": "localhost:9000"}, "HOST='localhost:9000' cannot be used"),
        ({"HOST": "http://localhost"}, "must be a host name or an address"),
        ({"HOST": "a b"}, "must be a host name or an address"),
        ({"PORT": "web"}, "PORT='web' cannot be used"),
        ({"PORT": "65536"}, "between 0 and 65535"),
        ({"PORT": "-1"}, "between 0 and 65535"),
        ({"PORT": "\u0663"}, "between 0 and 65535"),
    ],
)
def test_listen_address_that_is_none_is_refused_with_sentence(environ: dict[str, str], sentence: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_listen_address(environ)
    assert sentence in str(refused.value)


def test_printed_addresses_can_be_typed_into_a_browser() -> None:
    assert listener_urls("http://[::1]:8000", "") == ["http://[::1]:8000/"]
    assert listener_urls("http://127.0.0.1:8000", "/chat") == ["http://127.0.0.1:8000/chat/"]
    assert listener_urls("unix:/run/chatsite.sock", "") == ["unix:/run/chatsite.sock"]
    local, *others = listener_urls("http://[::]:9000", "")
    assert local == "http://localhost:9000/"
    assert all(is_admitted(url.split("/")[2], [], "::") for url in others)


def test_links_of_commands_name_the_address_of_the_site() -> None:
    assert local_site_url({}) == "http://localhost:8000"
    assert local_site_url({"HOST": "::1", "PORT": "9"}) == "http://[::1]:9"
    assert local_site_url({"HOST": "0.0.0.0", "CHATSITE_BASE_PATH": "/chat/"}) == "http://localhost:8000/chat"
