"""The palette and the shortcuts, as the server makes them."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape

import pytest
from flask import Flask

from chatsite.config import ROOT
from chatsite.web.shortcuts import BY_NAME
from tests.web.conftest import HTMX, Browser, plain

TEMPLATES = ROOT / "templates"
MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Safari/605.1.15"


def lines(html: str) -> list[str]:
    """What the lines of a palette say, without days and keys."""
    found = re.findall(r'class="palette-name" dir="auto">(.*?)</span>', html, re.DOTALL)
    return [plain(unescape(re.sub(r"<small.*", "", each, flags=re.DOTALL))).strip() for each in found]


def ask(browser: Browser, typed: str = "", over: str = "/") -> str:
    """What htmx is answered when somebody types over a page."""
    here = {**HTMX, "HX-Current-URL": f"http://localhost{over}"}
    return browser.get("/palette", query_string={"q": typed}, headers=here).text


def test_without_words_it_shows_what_was_used_last_and_what_can_be_done(
    app: Flask, alice: Browser, answer: Callable[..., None]
) -> None:
    app.config["QUEUE_PER_USER"] = 20
    names = [alice.start(f"Talk {number}") for number in range(8)]
    alice.send("POST", f"/conversations/{names[0]}/pin")
    answer()
    assert alice.ask("More", names[1]).status_code == 303
    found = lines(ask(alice))
    # Pinned or not, the last used ones come first.
    assert found[:6] == ["Talk 1", "Talk 7", "Talk 6", "Talk 5", "Talk 4", "Talk 3"]
    assert found[6:8] == ["New conversation", "Temporary chat"]
    assert {"Trash", "Import", "Personas", "Keyboard shortcuts", "Dark colours", "Español"} <= set(found)


def test_over_a_conversation_the_one_before_comes_first_and_deeds_are_about_it(alice: Browser) -> None:
    alice.start("Before")
    now = alice.start("Now")
    html = ask(alice, over=f"/conversations/{now}?at=start")
    found = lines(html)
    assert found[:3] == ["Before", "Share this conversation", "Export this conversation"]
    assert "Now" not in found
    assert f'href="/conversations/{now}/settings"' in html
    assert f'action="/conversations/{now}?_method=DELETE"' in html
    assert "Pin this conversation" in found
    assert "Unpin this conversation" not in found


def test_of_a_temporary_conversation_nothing_is_shared_or_kept(alice: Browser) -> None:
    response = alice.send("POST", "/messages", text="Hush", temporary="1")
    found = lines(ask(alice, over=response.headers["Location"]))
    assert found[0] == "Settings of this conversation"
    assert not {"Hush", "Share this conversation", "Delete this conversation"} & set(found)


def test_a_page_shows_what_was_used_last_before_anything_is_asked(alice: Browser) -> None:
    now, *_ = [alice.start(f"Talk {number}") for number in range(3)]
    html = alice.get(f"/conversations/{now}").text
    assert lines(html) == ["Talk 2", "Talk 1"]


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("tras", "Trash"),
        ("RESTORE", "Trash"),
        ("night", "Dark colours"),
        ("system pro", "Personas"),
        ("espanol", "Español"),
        ("short", "Keyboard shortcuts"),
    ],
)
def test_deeds_are_found_by_beginnings_of_words(alice: Browser, typed: str, line: str) -> None:
    assert lines(ask(alice, typed))[0] == line


def test_deeds_are_found_in_ones_own_language_without_accents(alice: Browser) -> None:
    alice.client.set_cookie("chatsite_language", "es")
    assert lines(ask(alice, "atajos"))[0] == "Atajos de teclado"
    over = f"/conversations/{alice.start()}"
    assert "Ajustes de esta conversación" in lines(ask(alice, "conversacion ajustes", over))


def test_conversations_models_and_messages_are_found(alice: Browser, answer: Callable[..., None]) -> None:
    name = alice.start("Baking sourdough bread")
    answer("Use the script of a good baker.")
    found = ask(alice, "bread")
    assert lines(found)[0] == "Baking sourdough bread"
    assert f'href="/conversations/{name}"' in found
    assert "<mark>bread</mark>" in found
    assert "2 results" in plain(found)
    demo = lines(ask(alice, "demo"))
    assert demo[:2] == ["Ask Demo script", "About Demo script"]
    assert "Nothing was found." in ask(alice, "zzzz")
    assert lines(ask(alice, "zzzz")) == []


def test_it_finds_nothing_of_others(alice: Browser, bob: Browser) -> None:
    name = alice.start("Mine alone")
    for typed in ("", "mine"):
        html = bob.get("/palette", query_string={"q": typed, "conversation": name}).text
        assert "Mine alone" not in html
        assert name not in html.replace(f'name="conversation" value="{name}"', "")


def test_enter_leads_to_the_first_line(alice: Browser) -> None:
    name = alice.start("Baking bread")
    assert alice.get("/palette?go=1&q=bread").headers["Location"] == f"/conversations/{name}"
    assert alice.get("/palette?go=1&q=trash").headers["Location"] == "/trash"
    # A deed is no place, and needs a hand.
    assert "Dark colours" in alice.get("/palette?go=1&q=dark").text


def test_the_page_does_the_same_without_javascript(alice: Browser) -> None:
    name = alice.start("Baking bread")
    html = alice.get(f"/palette?conversation={name}").text
    assert "Share this conversation" in html
    assert 'id="palette"' not in html
    assert f'name="conversation" value="{name}"' in html


def test_a_deed_of_the_palette_comes_back_to_where_it_was_done(alice: Browser) -> None:
    assert 'name="next" value="/search?q=x"' in ask(alice, "dark", "/search?q=x")
    response = alice.send("POST", "/preferences", theme="dark", next="/search?q=x")
    assert response.headers["Location"] == "/search?q=x"
    assert 'data-theme="dark"' in alice.get("/").text
    assert "Light colours" in lines(ask(alice))
    assert "Dark colours" not in lines(ask(alice))
    assert alice.send("POST", "/preferences", theme="dark", next="//elsewhere.example").headers["Location"] == "/"


def test_every_shortcut_has_its_element_and_every_element_its_shortcut() -> None:
    used = {
        name for path in TEMPLATES.rglob("*.html") for name in re.findall(r'\bkeys\("(\w+)"', path.read_text("utf-8"))
    }
    # Escape with nothing to give up leads back to the text: `keyboard.js`.
    assert used == set(BY_NAME)


def test_keys_are_those_of_the_keyboard(alice: Browser) -> None:
    page = alice.get("/").text
    assert 'data-keys="Control+K" aria-keyshortcuts="Control+K"' in page
    shortcuts = plain(alice.get("/shortcuts").text)
    assert "New conversation Ctrl Shift O" in shortcuts
    assert "Send the message Enter" in shortcuts
    on_mac = {"User-Agent": MAC}
    assert 'data-keys="Meta+K"' in alice.get("/", headers=on_mac).text
    assert "New conversation ⌘ ⇧ O" in plain(alice.get("/shortcuts", headers=on_mac).text)


def test_the_help_says_what_enter_does(alice: Browser) -> None:
    alice.send("POST", "/preferences", enter="newline")
    fragment = alice.get("/shortcuts", headers=HTMX).text
    assert "<html" not in fragment
    assert "Send the message Ctrl Enter" in plain(fragment)


def test_single_keys_can_be_switched_off(alice: Browser) -> None:
    assert 'data-keys="/"' in alice.get("/").text
    alice.send("POST", "/preferences", keys="off")
    page = alice.get("/").text
    assert re.findall(r'data-keys="([^"]+)"', page) == ["Control+Shift+O", "Control+K"]
    assert "Copy the last answer" not in alice.get("/shortcuts").text
