"""The whole story of a visit, with JavaScript and without it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import BrowserVisitor, ask_and_wait, choose_action, open_new_conversation, send_question

pytestmark = pytest.mark.browser

LONG = "/long 900"
FIRST = "/say The first one"


def last_word(page: Page) -> int:
    """The number of the last word that is on the page."""
    words = re.findall(r"word(\d+)", page.locator(".prose").last.inner_text())
    return int(words[-1]) if words else 0


def test_first_conversation_from_question_to_continue(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor(refused=True).open_tab()
    expect(page.get_by_role("heading", name="What can I help with?")).to_be_visible()
    expect(page.get_by_text("Your chats will appear here.")).to_be_visible()
    expect(page.get_by_role("textbox", name="Message")).to_be_focused()

    page.keyboard.type(LONG)
    page.keyboard.press("Shift+Enter")
    page.keyboard.press("Backspace")
    page.keyboard.press("Enter")
    expect(page.locator(".prose")).to_contain_text("word5")
    expect(page).to_have_url(re.compile("/conversations/"))
    expect(page).to_have_title(f"{LONG} · chatsite")
    row = page.get_by_role("navigation").get_by_role("link", name=LONG, exact=True)
    expect(row).to_have_attribute("aria-current", "page")
    expect(page.get_by_role("textbox", name="Message")).to_have_value("")
    expect(page.get_by_role("heading", name="What can I help with?")).to_have_count(0)
    expect(page.locator(".status")).to_contain_text("tokens per second")

    page.reload()
    before = last_word(page)
    expect(page.locator(".prose")).to_contain_text(f"word{before + 40}")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("You stopped this answer.").first).to_be_visible()
    assert last_word(page) < 900
    assert "word1 word2 word3 word4" in page.locator(".prose").inner_text()
    expect(page.get_by_role("button", name="Send")).to_be_visible()

    page.get_by_role("button", name="Continue", exact=True).click()
    expect(page.locator(".prose")).to_contain_text("word900")
    words = re.findall(r"word(\d+)", page.locator(".prose").inner_text())
    assert [int(word) for word in words] == list(range(1, 901))


def test_navigating_renaming_and_deleting_conversations(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor(refused=True).open_tab()
    ask_and_wait(page, FIRST)
    first = page.url
    open_new_conversation(page)
    expect(page).to_have_url(re.compile("/$"))
    ask_and_wait(page, "/say The second one")
    second = page.url
    rows = page.locator("#conversations .row-title")
    expect(rows).to_have_text(["/say The second one", FIRST])

    page.go_back()
    expect(page.get_by_role("heading", name="What can I help with?")).to_be_visible()
    page.go_back()
    expect(page).to_have_url(first)
    expect(page.locator(".prose")).to_have_text("The first one")
    page.go_forward()
    expect(page.get_by_role("heading", name="What can I help with?")).to_be_visible()
    # The next step is within this page, so its scripts have to be there.
    page.wait_for_function("window.htmx && document.readyState === 'complete'")
    page.go_forward()
    expect(page).to_have_url(second)
    expect(page.locator(".prose")).to_have_text("The second one")

    choose_action(page, "/say The second one", "link", "Rename")
    expect(page.get_by_role("textbox", name="Title")).to_be_focused()
    page.get_by_role("textbox", name="Title").fill("   ")
    page.keyboard.press("Enter")
    expect(page.locator("#title-notice")).to_have_text("A title needs at least one letter.")
    page.get_by_role("textbox", name="Title").fill("Seconds")
    page.keyboard.press("Enter")
    expect(rows).to_have_text(["Seconds", FIRST])
    expect(page.get_by_role("heading", level=1)).to_have_text("Seconds")
    expect(page).to_have_title("Seconds · chatsite")

    rows.first.hover()
    page.get_by_role("link", name="Actions for “Seconds”").click()
    expect(page.locator("#row-menu")).to_contain_text("Seconds")
    page.keyboard.press("Escape")
    expect(page.locator("#row-menu")).to_be_hidden()
    expect(rows).to_have_count(2)
    choose_action(page, "Seconds", "button", "Delete")
    expect(page).to_have_url(re.compile(r"/\?undo="))
    expect(rows).to_have_text([FIRST])


def test_whole_visit_without_javascript(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor(refused=True, java_script_enabled=False).open_tab()
    page.get_by_role("link", name="Write a short poem").click()
    expect(page.get_by_role("textbox", name="Message")).to_have_value(re.compile("poem"))

    send_question(page, LONG)
    expect(page).to_have_url(re.compile("/conversations/"))
    expect(page.get_by_role("textbox", name="Message")).to_be_hidden()
    expect(page.locator(".prose")).to_contain_text("word40")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("You stopped this answer.").first).to_be_visible()
    expect(page.locator("button.copy-message")).to_be_hidden()
    page.get_by_role("button", name="Continue", exact=True).click()
    expect(page.locator(".prose")).to_contain_text("word900")
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    first = page.url

    open_new_conversation(page)
    send_question(page, "x" * 4001)
    expect(page.get_by_text("This message has 4,001 characters")).to_be_visible()
    expect(page.get_by_role("textbox", name="Message")).to_have_value("x" * 4001)
    send_question(page, "/say The second one")
    expect(page.locator(".prose")).to_have_text("The second one")
    rows = page.locator("#conversations .row-title")
    expect(rows).to_have_text(["/say The second one", LONG])

    page.get_by_role("link", name=LONG, exact=True).click()
    expect(page).to_have_url(first)
    choose_action(page, LONG, "link", "Rename")
    page.get_by_role("textbox", name="Title").fill("Firsts")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(rows).to_have_text(["/say The second one", "Firsts"])
    choose_action(page, "Firsts", "button", "Delete")
    expect(rows).to_have_text(["/say The second one"])
    page.goto(first)
    expect(page.get_by_text("This chat does not exist or was deleted.")).to_be_visible()
