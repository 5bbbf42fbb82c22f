"""Sheets: parts of the conversation's menu that open over it, and close where one was."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import BrowserVisitor, ask_and_wait
from tests.browser.test_switching import is_same_document, mark_document

pytestmark = pytest.mark.browser


def open_sheet(page: Page, name: str) -> None:
    """Choose a line of the menu of the conversation by keyboard."""
    page.get_by_role("button", name="Chat menu").press("Enter")
    page.locator("#conversation-actions").get_by_role("link", name=name, exact=True).press("Enter")
    expect(page.locator("#sheet :focus")).to_have_count(1)


def test_sheet_opens_saves_and_closes(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    ask_and_wait(page, "/say First")
    address = page.url
    mark_document(page)
    sheet = page.locator("#sheet")
    menu = page.get_by_role("button", name="Chat menu")
    open_sheet(page, "Chat settings")
    expect(sheet.get_by_role("heading", level=1)).to_have_text("Chat settings")
    # It is read from its beginning, though it is longer than the window.
    page.evaluate("() => new Promise(requestAnimationFrame)")
    assert sheet.evaluate("(sheet) => sheet.scrollHeight - sheet.clientHeight") > 0
    expect(sheet.get_by_role("heading", level=1)).to_be_in_viewport()
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    expect(menu).to_be_focused()

    open_sheet(page, "Chat settings")
    sheet.get_by_role("textbox", name="Persona name").fill("Poet")
    sheet.get_by_role("textbox", name="Instructions").fill("Answer in verse.")
    sheet.get_by_role("button", name="Save", exact=True).click()
    expect(sheet).to_be_hidden()
    expect(page.locator(".toast p").locator("visible=true")).to_have_text(
        "Chat settings saved. They apply from the next answer."
    )
    expect(page.locator("#next-change-notice")).to_have_text("From here on: Poet")
    expect(menu).to_be_focused()

    open_sheet(page, "Chat settings")
    # What is refused stays in the sheet; another persona fills the same form.
    expect(sheet.get_by_role("textbox", name="Instructions")).to_have_value("Answer in verse.")
    sheet.get_by_role("link", name="Patient tutor").click()
    expect(sheet.get_by_role("textbox", name="Persona name")).to_have_value("Patient tutor")
    sheet.get_by_role("link", name="Cancel").click()
    expect(sheet).to_be_hidden()

    open_sheet(page, "Rename")
    sheet.get_by_role("textbox", name="Title").fill("Renamed")
    sheet.get_by_role("textbox", name="Title").press("Enter")
    expect(sheet).to_be_hidden()
    expect(page.get_by_role("heading", level=1)).to_have_text("Renamed")
    expect(page.locator("#conversations .row-title")).to_have_text(["Renamed"])

    open_sheet(page, "Tags")
    expect(sheet.get_by_role("heading", level=1)).to_have_text("Tags")
    sheet.get_by_role("textbox", name="New tag").fill("Work")
    sheet.get_by_role("textbox", name="New tag").press("Enter")
    expect(sheet).to_be_hidden()
    expect(page.locator(".topbar .chip")).to_have_text("Work")
    expect(page.get_by_role("img", name="Tag: Work")).to_be_visible()

    open_sheet(page, "Share")
    expect(sheet.get_by_role("heading", level=1)).to_have_text("Share")
    sheet.get_by_role("button", name="Close", exact=True).click()
    expect(sheet).to_be_empty()
    open_sheet(page, "Export")
    with page.expect_download() as download:
        sheet.get_by_role("link", name="Download as Markdown").click()
    assert download.value.suggested_filename.endswith(".md")
    sheet.get_by_role("link", name="Export everything").click()
    expect(page.locator("#page h1")).to_have_text("Export")
    expect(sheet).to_be_hidden()
    assert is_same_document(page)
    page.go_back()
    expect(page).to_have_url(address)
    expect(page.locator(".prose")).to_have_text("First")


def test_palette_and_menu_of_an_answer_open_sheets(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    ask_and_wait(page, "/say First")
    mark_document(page)
    address, sheet = page.url, page.locator("#sheet")
    box = page.locator("#text")
    for line, heading in (
        ("Rename this chat", "Rename"),
        ("Tag this chat", "Tags"),
        ("Share this chat", "Share"),
        ("Export this chat", "Export"),
        ("Chat settings", "Chat settings"),
    ):
        page.keyboard.press("Control+k")
        page.keyboard.type(line)
        expect(page.locator("#palette-results")).to_have_attribute("data-query", line)
        page.keyboard.press("Enter")
        expect(sheet.get_by_role("heading", level=1)).to_have_text(heading)
        expect(page.locator("#palette")).to_be_hidden()
        page.keyboard.press("Escape")
        expect(sheet).to_be_hidden()
        expect(box).to_be_focused()
    more = page.get_by_role("link", name="More", exact=True)
    expect(more).to_have_attribute("aria-haspopup", "dialog")
    more.click()
    expect(page.get_by_role("dialog", name="Actions")).to_be_visible()
    expect(more).to_have_attribute("aria-expanded", "true")
    page.get_by_role("link", name="Share up to here").press("Enter")
    expect(sheet.get_by_role("heading", level=1)).to_have_text("Share")
    expect(more).to_have_attribute("aria-expanded", "false")
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    expect(more).to_be_focused()
    expect(page).to_have_url(address)
    assert is_same_document(page)
