"""How somebody likes the site: chosen on one page, kept in cookies, and written on every page there is."""

from __future__ import annotations

import re

import pytest
from flask import Flask

from chatsite.web.core.preferences import CHOICES, Preferences, current_preferences
from tests.core.test_ownership import snapshot, users
from tests.support.web_fixtures import HTMX_HEADERS, WebClient

SPANISH = {"Accept-Language": "es"}


def marked(page: str) -> dict[str, str]:
    """What the root element of a page says of the preferences: those that scripts and styles go by."""
    return dict(re.findall(r'data-(theme|enter|voice|sidebar)="(\w+)"', page[: page.index("<head>")]))


def checked(page: str) -> dict[str, str]:
    """What is chosen on the page of preferences."""
    return dict(re.findall(r'type="radio" name="(\w+)" value="(\w*)" checked', page))


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in CHOICES.items() for value in values])
def test_chosen_preference_applies_to_every_page(alice: WebClient, name: str, value: str) -> None:
    usual = {each: values[0] for each, values in CHOICES.items()}
    # A button beside the list changes this one.
    on_page = {each: value for each, value in usual.items() if each != "sidebar"}
    assert checked(alice.get("/settings").text) == on_page | {"language": ""}
    response = alice.send_form("POST", "/preferences", htmx=False, **{name: value})
    assert response.status_code == 303
    for path in ("/", "/settings", "/overview"):
        assert marked(alice.get(path).text).items() <= (usual | {name: value}).items()
    chosen = {name: value} if name in on_page else {}
    assert checked(alice.get("/settings").text) == on_page | chosen | {"language": ""}


def test_preferences_of_new_visitor_create_no_user(app: Flask, alice: WebClient) -> None:
    alice.send_form("POST", "/preferences", theme="dark", language="es")
    assert users(app) == []
    assert not any(snapshot(app))


def test_preference_change_keeps_others(alice: WebClient) -> None:
    alice.send_form("POST", "/preferences", theme="dark", enter="newline", language="es")
    alice.send_form("POST", "/preferences", htmx=True, voice="states")
    assert marked(alice.get("/").text) == {
        "theme": "dark",
        "enter": "newline",
        "voice": "states",
        "sidebar": "shown",
    }
    assert '<html lang="es"' in alice.get("/").text


def test_language_preference_can_be_reset_to_browser(alice: WebClient) -> None:
    alice.send_form("POST", "/preferences", language="en")
    assert '<html lang="en"' in alice.get("/", headers=SPANISH).text
    alice.send_form("POST", "/preferences", language="")
    assert '<html lang="es"' in alice.get("/", headers=SPANISH).text
    assert checked(alice.get("/settings").text)["language"] == ""


def test_language_change_reloads_page_and_keeps_focus(alice: WebClient) -> None:
    same = alice.send_form("POST", "/preferences", htmx=True, theme="light")
    assert "HX-Redirect" not in same.headers
    assert 'hx-target="#saved-appearance"' in same.text
    assert "Saved" in same.text
    other = alice.send_form("POST", "/preferences", htmx=True, language="es")
    page = alice.get(other.headers["HX-Redirect"]).text
    assert re.search(r'name="language" value="es" checked autofocus', page)
    assert page.count("checked autofocus") == 1


def test_invalid_preference_changes_nothing(alice: WebClient) -> None:
    alice.send_form("POST", "/preferences", theme="dark")
    for name, value in (
        ("theme", "pink"),
        ("enter", "<b>"),
        ("voice", ""),
        ("language", "xx"),
        ("sidebar", "x" * 9000),
        ("dictation", "yes"),
    ):
        assert alice.send_form("POST", "/preferences", htmx=False, **{name: value}).status_code == 422
    usual = {name: CHOICES[name][0] for name in ("theme", "enter", "voice", "sidebar")}
    assert marked(alice.get("/").text) == usual | {"theme": "dark"}
    alice.client.set_cookie(alice.cookie_name("chatsite_preferences"), "theme=pink&enter=%00&keys=off&nonsense")
    assert marked(alice.get("/").text) == usual


def test_color_scheme_meta_follows_theme(alice: WebClient) -> None:
    assert '<meta name="color-scheme" content="light dark">' in alice.get("/").text
    alice.send_form("POST", "/preferences", theme="dark")
    page = alice.get("/").text
    assert '<meta name="color-scheme" content="dark">' in page
    assert page.count('name="theme-color"') == 1


def test_sidebar_links_to_settings(alice: WebClient) -> None:
    assert 'href="/settings"' in alice.get("/").text


def test_default_preferences_outside_request() -> None:
    assert current_preferences() == Preferences()


def test_saved_section_says_so_without_scripts(alice: WebClient) -> None:
    response = alice.send_form("POST", "/preferences", enter="newline", section="reading")
    assert response.headers["Location"] == "/settings?saved=reading"
    page = alice.get("/settings?saved=reading").text
    assert re.search(r'id="saved-reading"[^>]*><svg.*?</svg>Saved</p>', page)
    assert re.search(r'id="saved-appearance"[^>]*></p>', page)
    assert page.count(" autofocus>Save</button>") == 1
    assert "Saved</p>" not in alice.get("/settings?saved=<b>").text


def test_settings_page_links_to_each_section(alice: WebClient) -> None:
    page = alice.get("/settings").text
    anchors = re.findall(r'<li><a href="#([\w-]+)">', page)
    assert anchors == re.findall(r'<section id="([\w-]+)" class="setting-section"', page)
    assert len(anchors) > 4


def test_questions_are_shown_in_open_pages(alice: WebClient) -> None:
    for name, value in (("read_with", "any"), ("dictation", "on"), ("notify", "on")):
        shown = alice.get(f"/preferences/{name}/question", headers=HTMX_HEADERS).text
        assert f'data-name="{name}" data-url="/preferences"' in shown
        assert f'value="{value}"' in shown
        assert alice.get(f"/preferences/{name}/question").headers["Location"] == "/settings"
    for name in ("theme", "x"):
        assert alice.get(f"/preferences/{name}/question", headers=HTMX_HEADERS).status_code == 404


def test_microphone_is_only_there_if_wanted(alice: WebClient) -> None:
    question = "/preferences/dictation/question"
    assert question in alice.get("/").text
    for value, is_there in (("on", True), ("off", False)):
        alice.send_form("POST", "/preferences", dictation=value)
        page = alice.get("/").text
        assert question not in page
        assert ("dictate" in page) == is_there
    assert "microphone=(self)" in alice.get("/").headers["Permissions-Policy"]
