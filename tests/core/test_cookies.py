"""Cookies: two sites on one host keep theirs apart, nobody's identity is lost, and neighboring hosts can plant none."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.conftest import close_app, make_app
from tests.support.web_fixtures import WebClient

BASE_NAMES = ("chatsite_visitor", "chatsite_session", "chatsite_preferences", "chatsite_language", "chatsite_rows")


class SharedJar:
    """The cookies of one host by name and path, as a browser keeps them: for all ports."""

    def __init__(self) -> None:
        self.cookies: dict[str, str] = {}

    def open(self, client: FlaskClient, path: str, method: str = "GET", **form: str) -> str:
        """Request a page with all cookies, keep those that come back, and return its text."""
        header = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        response = client.open(path, method=method, data=form or None, headers=header)
        for line in response.headers.getlist("Set-Cookie"):
            name, value = line.partition(";")[0].split("=", 1)
            self.cookies[name] = value
        assert response.status_code < 400, response.text
        return response.headers.get("Location", response.text)

    def ask(self, client: FlaskClient, text: str, page: str = "") -> str:
        """Ask a question from an open page, or from the front page, and return the address of its conversation."""
        token = re.findall(r'name="csrf_token" value="([^"]+)"', page or self.open(client, "/"))[0]
        return self.open(client, "/messages", "POST", csrf_token=token, text=text)


@pytest.fixture
def new_site(tmp_path: Path) -> Iterator[Callable[..., Flask]]:
    """Return a function that makes sites; those with the same name have the same database."""
    apps: list[Flask] = []

    def make(name: str, **settings: object) -> Flask:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        apps.append(make_app(folder, **settings))
        return apps[-1]

    yield make
    for app in apps:
        close_app(app)


def test_two_sites_on_one_host_keep_visitors_and_open_pages(new_site: Callable[..., Flask]) -> None:
    one, two = new_site("one").test_client(use_cookies=False), new_site("two").test_client(use_cookies=False)
    browser = SharedJar()
    open_page = browser.open(one, "/")
    asked_one = browser.ask(one, "On site one", open_page)
    asked_two = browser.ask(two, "On site two")
    browser.ask(one, "Once more", open_page)
    assert "On site one" in browser.open(one, asked_one)
    assert "On site two" in browser.open(two, asked_two)
    assert "Once more" in browser.open(one, "/overview")
    assert "On site" not in browser.open(two, "/overview").replace("On site two", "")


def test_every_cookie_has_suffix_of_its_site(app: Flask, alice: WebClient) -> None:
    alice.start_conversation()
    alice.send_form("POST", "/preferences", theme="dark", language="es")
    jar = {cookie.key: cookie for cookie in alice.client._cookies.values()}  # type: ignore[union-attr]
    suffix = app.config["COOKIE_SUFFIX"]
    assert {name.removesuffix(f"_{suffix}") for name in jar} == set(BASE_NAMES) - {"chatsite_rows"}
    assert all(name.endswith(f"_{suffix}") for name in jar)
    page = alice.get("/").text
    assert f'data-timezone-cookie="chatsite_timezone_{suffix}=%; path=/; max-age=31536000; samesite=lax"' in page


def former_cookies(client: WebClient) -> dict[str, str]:
    """The cookies of a browser, under the names that they had before names got a suffix."""
    return {name: value for name in BASE_NAMES if (value := client.find_cookie(name)) is not None}


def test_cookies_without_suffix_keep_identity_session_and_preferences(app: Flask, alice: WebClient) -> None:
    conversation = alice.start_conversation()
    alice.send_form("POST", "/preferences", theme="dark", language="es")
    upgraded = WebClient(app.test_client(), alice.csrf_token)
    for name, value in former_cookies(alice).items():
        upgraded.client.set_cookie(name, value)
    # A page that was open before the update can still send.
    assert upgraded.post_question("Still here", conversation="").status_code == 303
    page = upgraded.client.get("/").text
    assert 'data-theme="dark"' in page
    assert '<html lang="es"' in page
    assert upgraded.get(f"/conversations/{conversation}").status_code == 200
    upgraded.client.delete_cookie("chatsite_visitor")
    assert upgraded.get(f"/conversations/{conversation}").status_code == 200, "it was moved"


def test_reading_a_page_moves_identity(app: Flask, alice: WebClient) -> None:
    conversation = alice.start_conversation()
    token = alice.find_cookie("chatsite_visitor")
    reader = WebClient(app.test_client())
    reader.client.set_cookie("chatsite_visitor", str(token))
    assert reader.get(f"/conversations/{conversation}").status_code == 200
    assert reader.find_cookie("chatsite_visitor") == token
    # An older version, to which one may go back, reads only this one.
    assert reader.client.get_cookie("chatsite_visitor") is not None


def test_chosen_language_of_browser_hides_former_cookie(app: Flask, alice: WebClient) -> None:
    alice.client.set_cookie("chatsite_language", "es")
    assert '<html lang="es"' in alice.get("/").text
    alice.send_form("POST", "/preferences", language="")
    assert '<html lang="en"' in alice.get("/").text


def test_identity_survives_new_secret_key(new_site: Callable[..., Flask]) -> None:
    browser = SharedJar()
    before = new_site("one", SECRET_KEY="1" * 32).test_client(use_cookies=False)
    conversation = browser.ask(before, "Under the old key")
    after = new_site("one", SECRET_KEY="2" * 32).test_client(use_cookies=False)
    assert "Under the old key" in browser.open(after, conversation)


def test_identity_survives_change_to_https(new_site: Callable[..., Flask]) -> None:
    browser = SharedJar()
    conversation = browser.ask(new_site("one").test_client(use_cookies=False), "Before HTTPS")
    secure = new_site("one", SECURE_COOKIES=True)
    assert "Before HTTPS" in browser.open(secure.test_client(use_cookies=False), conversation)
    assert f"__Host-chatsite_visitor_{secure.config['COOKIE_SUFFIX']}" in browser.cookies


def test_many_cookies_of_other_sites_are_looked_up_within_bounds(app: Flask, alice: WebClient) -> None:
    conversation = alice.start_conversation()
    for number in range(60):
        alice.client.set_cookie(f"chatsite_visitor_{number:08x}", "stranger")
    assert alice.get(f"/conversations/{conversation}").status_code == 200


@contextmanager
def secure_site(folder: Path, **settings: object) -> Iterator[Flask]:
    """A site over HTTPS."""
    app = make_app(folder, SECURE_COOKIES=True, **settings)
    yield app
    close_app(app)


def test_secure_cookies_have_host_prefix(tmp_path: Path) -> None:
    with secure_site(tmp_path) as app:
        browser = SharedJar()
        client = app.test_client(use_cookies=False)
        browser.ask(client, "Hello")
        assert all(name.startswith("__Host-chatsite_") for name in browser.cookies)
        for line in client.get("/").headers.getlist("Set-Cookie"):
            assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(line.split("; "))
            assert "Domain" not in line
        assert 'data-timezone-cookie="__Host-chatsite_timezone_' in browser.open(client, "/")


@pytest.mark.parametrize(
    "name",
    ["chatsite_visitor", "chatsite_visitor_00000000", "__Secure-chatsite_visitor", "__Secure-chatsite_visitor_%s"],
)
def test_planted_identity_is_ignored_over_https(tmp_path: Path, name: str) -> None:
    """A neighboring host can set cookies for the whole domain, but none whose name begins with `__Host-`."""
    with secure_site(tmp_path) as app:
        attacker, victim = SharedJar(), SharedJar()
        client = app.test_client(use_cookies=False)
        attacker.ask(client, "Bait")
        [token] = [value for cookie, value in attacker.cookies.items() if "visitor" in cookie]
        victim.cookies[name.replace("%s", app.config["COOKIE_SUFFIX"])] = token
        victim.ask(client, "A secret of the victim")
        assert "secret" not in attacker.open(client, "/overview")


def test_planted_session_is_ignored_over_https(tmp_path: Path) -> None:
    with secure_site(tmp_path) as app:
        attacker, victim = SharedJar(), SharedJar()
        client = app.test_client(use_cookies=False)
        page = attacker.open(client, "/")
        token = re.findall(r'name="csrf_token" value="([^"]+)"', page)[0]
        [session] = [value for cookie, value in attacker.cookies.items() if "session" in cookie]
        header = {"Cookie": f"chatsite_session={session}"}
        response = client.post("/messages", data={"csrf_token": token, "text": "Forged"}, headers=header)
        assert response.status_code == 400
        victim.cookies["chatsite_session"] = session
        victim.ask(client, "Mine")
        assert "Mine" not in attacker.open(client, "/overview")


def test_forged_former_session_is_ignored(app: Flask) -> None:
    for value in ("x", "eyJhIjoxfQ.x.y", "\u00fc" * 50):
        response = app.test_client().get("/", headers={"Cookie": f"chatsite_session={value}"})
        assert response.status_code == 200
