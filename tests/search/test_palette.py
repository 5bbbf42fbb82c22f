"""The palette and the shortcuts, as the server makes them."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape

import pytest
from flask import Flask

from chatsite.settings import ROOT
from chatsite.web.core.shortcuts import SHORTCUTS_BY_NAME
from tests.support.web_fixtures import HTMX_HEADERS, WebClient, visible_text

TEMPLATES = ROOT / "templates"
MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Safari/605.1.15"


def lines(html: str) -> list[str]:
    """What the lines of a palette say, without days and keys."""
    found = re.findall(r'class="palette-name" dir="auto">(.*?)</span>', html, re.DOTALL)
    return [visible_text(unescape(re.sub(r"<small.*", "", each, flags=re.DOTALL))).strip() for each in found]


def ask(browser: WebClient, typed: str = "", over: str = "/") -> str:
    """What htmx is answered when somebody types over a page."""
    here = {**HTMX_HEADERS, "HX-Current-URL": f"http://localhost{over}"}
    return browser.get("/palette", query_string={"q": typed}, headers=here).text


def test_empty_palette_shows_recent_conversations_and_actions(
    app: Flask, alice: WebClient, finish_answers: Callable[..., None]
) -> None:
    app.config["MAX_QUEUED_PER_USER"] = 20
    names = [alice.start_conversation(f"Talk {number}") for number in range(8)]
    alice.send_form("POST", f"/conversations/{names[0]}/pin")
    finish_answers()
    assert alice.post_question("More", names[1]).status_code == 303
    found = lines(ask(alice))
    # Pinned or not, the last used ones come first.
    assert found[:6] == ["Talk 1", "Talk 7", "Talk 6", "Talk 5", "Talk 4", "Talk 3"]
    assert found[6:8] == ["New chat", "Temporary chat"]
    assert {"Trash", "Import", "Personas", "Keyboard shortcuts", "Dark theme", "Español"} <= set(found)


def test_palette_over_conversation_shows_its_actions(alice: WebClient) -> None:
    alice.start_conversation("Before")
    now = alice.start_conversation("Now")
    html = ask(alice, over=f"/conversations/{now}?position=start")
    found = lines(html)
    # Its answer is being written, so it can only be stopped.
    assert found[:4] == ["Before", "Stop the answer", "Share this chat", "Export this chat"]
    assert "Now" not in found
    assert f'href="/conversations/{now}/settings"' in html
    assert f'action="/conversations/{now}?_method=DELETE"' in html
    assert "Pin this chat" in found
    assert "Unpin this chat" not in found


def test_palette_acts_on_last_messages_of_open_page(alice: WebClient, finish_answers: Callable[..., None]) -> None:
    over = f"/conversations/{alice.start_conversation('Now')}"
    finish_answers("Text")
    html = ask(alice, over=over)
    actions = [
        "Copy the last answer",
        "Copy the last code block",
        "Edit the last question",
        "Regenerate the last answer",
    ]
    assert lines(html)[:4] == actions
    assert 'data-clicks="#thread .copy-message"' in html
    # Only scripts of the page can do that.
    name = over.rpartition("/")[2]
    assert not set(actions) & set(lines(alice.get(f"/palette?conversation={name}").text))


def test_palette_over_temporary_chat_omits_share_and_delete(alice: WebClient) -> None:
    response = alice.send_form("POST", "/messages", text="Hush", temporary="1")
    found = lines(ask(alice, over=response.headers["Location"]))
    assert found[:2] == ["Stop the answer", "Chat settings"]
    assert not {"Hush", "Share this chat", "Delete this chat"} & set(found)


def test_page_includes_recent_conversations_in_palette(alice: WebClient) -> None:
    now, *_ = [alice.start_conversation(f"Talk {number}") for number in range(3)]
    html = alice.get(f"/conversations/{now}").text
    assert lines(html) == ["Talk 2", "Talk 1"]


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("tras", "Trash"),
        ("RESTORE", "Trash"),
        ("night", "Dark theme"),
        ("system pro", "Personas"),
        ("espanol", "Español"),
        ("short", "Keyboard shortcuts"),
    ],
)
def test_palette_finds_actions_by_word_prefix(alice: WebClient, typed: str, line: str) -> None:
    assert lines(ask(alice, typed))[0] == line


def test_palette_finds_translated_actions_without_accents(alice: WebClient) -> None:
    alice.client.set_cookie("chatsite_language", "es")
    assert lines(ask(alice, "atajos"))[0] == "Atajos de teclado"
    over = f"/conversations/{alice.start_conversation()}"
    assert "Ajustes del chat" in lines(ask(alice, "ajustes del chat", over))
    # Many know the English words.
    for typed, line in (("dark", "Tema oscuro"), ("help", "Atajos de teclado"), ("upload", "Importar")):
        assert line in lines(ask(alice, typed))


def test_palette_finds_conversations_models_and_messages(alice: WebClient, finish_answers: Callable[..., None]) -> None:
    name = alice.start_conversation("Baking sourdough bread")
    finish_answers("Use the script of a good baker.")
    found = ask(alice, "bread")
    assert lines(found)[0] == "Baking sourdough bread"
    assert f'href="/conversations/{name}"' in found
    assert "<mark>bread</mark>" in found
    assert "2 results" in visible_text(found)
    demo = lines(ask(alice, "demo"))
    assert demo[:2] == ["Ask Demo script", "About Demo script"]
    assert "Download BlenderBot 400M" in lines(ask(alice, "download blender"))
    assert "No results." in ask(alice, "zzzz")
    assert lines(ask(alice, "zzzz")) == []


def test_palette_finds_only_own_conversations(alice: WebClient, bob: WebClient) -> None:
    name = alice.start_conversation("Mine alone")
    for typed in ("", "mine"):
        html = bob.get("/palette", query_string={"q": typed, "conversation": name}).text
        assert "Mine alone" not in html
        assert name not in html.replace(f'name="conversation" value="{name}"', "")


def test_enter_redirects_to_first_result(alice: WebClient) -> None:
    name = alice.start_conversation("Baking bread")
    assert alice.get("/palette?go=1&q=bread").headers["Location"] == f"/conversations/{name}"
    assert alice.get("/palette?go=1&q=trash").headers["Location"] == "/trash"
    # A deed is no place, and needs a hand.
    assert "Dark theme" in alice.get("/palette?go=1&q=dark").text


def test_palette_page_works_without_javascript(alice: WebClient) -> None:
    name = alice.start_conversation("Baking bread")
    html = alice.get(f"/palette?conversation={name}").text
    assert "Share this chat" in html
    assert 'id="palette"' not in html
    assert f'name="conversation" value="{name}"' in html


def test_palette_action_redirects_to_current_page(alice: WebClient) -> None:
    assert 'name="next" value="/search?q=x"' in ask(alice, "dark", "/search?q=x")
    response = alice.send_form("POST", "/preferences", theme="dark", next="/search?q=x")
    assert response.headers["Location"] == "/search?q=x"
    assert 'data-theme="dark"' in alice.get("/").text
    assert "Light theme" in lines(ask(alice))
    assert "Dark theme" not in lines(ask(alice))
    assert alice.send_form("POST", "/preferences", theme="dark", next="//elsewhere.example").headers["Location"] == "/"


def test_shortcuts_match_template_elements() -> None:
    used = {
        name
        for path in TEMPLATES.rglob("*.html")
        for name in re.findall(r'\bshortcut_attrs\("(\w+)"', path.read_text("utf-8"))
    }
    # Escape with nothing to give up leads back to the text: `keyboard.js`.
    assert used == set(SHORTCUTS_BY_NAME)


def test_shortcut_keys_depend_on_platform(alice: WebClient) -> None:
    page = alice.get("/").text
    assert 'data-keys="Control+K" aria-keyshortcuts="Control+K"' in page
    shortcuts = visible_text(alice.get("/shortcuts").text)
    assert "New chat Ctrl Shift O" in shortcuts
    assert "Send the message Enter" in shortcuts
    on_mac = {"User-Agent": MAC}
    assert 'data-keys="Meta+K"' in alice.get("/", headers=on_mac).text
    assert "New chat ⌘ ⇧ O" in visible_text(alice.get("/shortcuts", headers=on_mac).text)


def test_shortcut_help_shows_enter_preference(alice: WebClient) -> None:
    alice.send_form("POST", "/preferences", enter="newline")
    fragment = alice.get("/shortcuts", headers=HTMX_HEADERS).text
    assert "<html" not in fragment
    assert "Send the message Ctrl Enter" in visible_text(fragment)


def test_no_shortcut_is_a_key_that_writes(alice: WebClient) -> None:
    name = alice.start_conversation("Hello")
    for keys in re.findall(r'data-keys="([^"]+)"', alice.get(f"/conversations/{name}").text):
        assert keys in {"Escape", "F2"} or keys.startswith("Control+"), keys
    # The preference of earlier versions, which could switch such keys off, is no reason to complain.
    alice.client.set_cookie(alice.cookie_name("chatsite_preferences"), "theme=dark&keys=off")
    assert 'data-theme="dark"' in alice.get("/").text
    assert alice.send_form("POST", "/preferences", keys="off").status_code == 303
