"""How somebody likes the site: chosen on one page, kept in cookies, and written on every page there is."""

from __future__ import annotations

import re

import pytest
from flask import Flask

from chatsite.web.preferences import CHOICES, Preferences, preferences
from tests.web.conftest import Browser
from tests.web.test_access import snapshot, users

SPANISH = {"Accept-Language": "es"}


def marked(page: str) -> dict[str, str]:
    """What the root element of a page says of the preferences: those that scripts and styles go by."""
    return dict(re.findall(r'data-(theme|enter|voice)="(\w+)"', page[: page.index("<head>")]))


def checked(page: str) -> dict[str, str]:
    """What is chosen on the page of preferences."""
    return dict(re.findall(r'type="radio" name="(\w+)" value="(\w*)" checked', page))


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in CHOICES.items() for value in values])
def test_what_is_chosen_is_on_every_page_and_chosen_there(alice: Browser, name: str, value: str) -> None:
    usual = {each: values[0] for each, values in CHOICES.items()}
    assert checked(alice.get("/preferences").text) == usual | {"language": ""}
    response = alice.send("POST", "/preferences", **{name: value})
    assert response.status_code == 303
    for path in ("/", "/preferences", "/library"):
        assert marked(alice.get(path).text).items() <= (usual | {name: value}).items()
    assert checked(alice.get("/preferences").text) == usual | {name: value, "language": ""}


def test_it_works_for_somebody_who_never_wrote_and_stores_nothing(app: Flask, alice: Browser) -> None:
    alice.send("POST", "/preferences", theme="dark", language="es")
    assert users(app) == []
    assert not any(snapshot(app))


def test_one_choice_leaves_the_others(alice: Browser) -> None:
    alice.send("POST", "/preferences", theme="dark", enter="newline", language="es")
    alice.send("POST", "/preferences", htmx=True, voice="states")
    assert marked(alice.get("/").text) == {"theme": "dark", "enter": "newline", "voice": "states"}
    assert '<html lang="es"' in alice.get("/").text


def test_the_browser_may_choose_the_language_again(alice: Browser) -> None:
    alice.send("POST", "/preferences", language="en")
    assert '<html lang="en"' in alice.get("/", headers=SPANISH).text
    alice.send("POST", "/preferences", language="")
    assert '<html lang="es"' in alice.get("/", headers=SPANISH).text
    assert checked(alice.get("/preferences").text)["language"] == ""


def test_another_language_brings_the_page_anew_with_the_focus_where_it_was(alice: Browser) -> None:
    same = alice.send("POST", "/preferences", htmx=True, theme="light")
    assert "HX-Redirect" not in same.headers
    assert "kept on this device" in same.text
    other = alice.send("POST", "/preferences", htmx=True, language="es")
    page = alice.get(other.headers["HX-Redirect"]).text
    assert re.search(r'name="language" value="es" checked autofocus', page)
    assert page.count("checked autofocus") == 1


def test_what_cannot_be_chosen_changes_nothing(alice: Browser) -> None:
    alice.send("POST", "/preferences", theme="dark")
    for name, value in (("theme", "pink"), ("enter", "<b>"), ("voice", ""), ("language", "xx"), ("keys", "x" * 9000)):
        assert alice.send("POST", "/preferences", **{name: value}).status_code == 422
    assert marked(alice.get("/").text) == {"theme": "dark", "enter": "send", "voice": "sentences"}
    alice.client.set_cookie("chatsite_preferences", "theme=pink&enter=%00&nonsense")
    assert marked(alice.get("/").text) == {"theme": "auto", "enter": "send", "voice": "sentences"}


def test_a_colour_scheme_is_there_before_the_style_sheet(alice: Browser) -> None:
    assert '<meta name="color-scheme" content="light dark">' in alice.get("/").text
    alice.send("POST", "/preferences", theme="dark")
    page = alice.get("/").text
    assert '<meta name="color-scheme" content="dark">' in page
    assert page.count('name="theme-color"') == 1


def test_the_sidebar_leads_there(alice: Browser) -> None:
    assert 'href="/preferences"' in alice.get("/").text


def test_outside_a_request_the_usual_ones_hold() -> None:
    assert preferences() == Preferences()
