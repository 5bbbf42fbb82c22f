"""Keeping conversations in order, and taking every step back."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import BrowserVisitor, ask_and_wait, choose_action, open_new_conversation, send_question


def undo(page: Page) -> None:
    """Take the last change back, where it is offered."""
    page.get_by_role("button", name="Undo").locator("visible=true").first.click()


def start(page: Page, *texts: str) -> None:
    """Some conversations with their answers, the last one open and nothing left to be announced."""
    for text in texts:
        open_new_conversation(page)
        ask_and_wait(page, text)
        expect(page.get_by_role("heading", level=1)).to_have_text(text)
    page.reload()


def test_every_action_can_be_undone_in_place(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    start(page, "/say One", "/say Two", "/say Three")
    rows = page.locator("#conversations .row-title")
    said = page.locator("#announcer")
    here = page.url

    # The list asks for as many rows as it has, so that what was opened of it stays open.
    with page.expect_request(re.compile(r"/conversations\?rows=3$")):
        choose_action(page, "/say One", "button", "Pin")
    expect(rows).to_have_text(["/say One", "/say Three", "/say Two"])
    expect(page.locator("#conversations .day").first).to_have_text("Pinned")
    expect(said).to_have_text("Pinned.")
    expect(page.get_by_role("button", name="Undo").first).to_be_focused()
    undo(page)
    expect(said).to_have_text("Change undone.")
    expect(rows).to_have_text(["/say Three", "/say Two", "/say One"])

    choose_action(page, "/say Three", "link", "Tags")
    page.get_by_role("textbox", name="New tag").fill("Café")
    # Somebody who looks elsewhere and comes back finds what they typed.
    with page.expect_response(re.compile(r"/conversations\?rows=3$")):
        page.evaluate("document.body.dispatchEvent(new CustomEvent('chat:refresh'))")
    expect(page.get_by_role("textbox", name="New tag")).to_have_value("Café")
    page.keyboard.press("Enter")
    expect(page.locator(".topbar .chip")).to_have_text("Café")
    expect(page.get_by_role("img", name="Tag: Café")).to_be_visible()
    undo(page)
    expect(page.locator(".topbar .chip")).to_have_count(0)

    page.get_by_role("button", name="Chat menu").click()
    page.locator("#conversation-actions").get_by_role("button", name="Archive").click()
    expect(rows).to_have_text(["/say Two", "/say One"])
    expect(page).to_have_url(here)
    undo(page)
    expect(rows).to_have_count(3)

    choose_action(page, "/say Three", "button", "Delete")
    expect(page).to_have_url(re.compile(r"/\?undo="))
    expect(rows).to_have_text(["/say Two", "/say One"])
    undo(page)
    expect(rows).to_have_count(3)


def test_bulk_actions_with_single_undo(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor(refused=True).open_tab()
    start(page, "/say One", "/say Two", "/say Three")
    page.get_by_role("link", name="Overview").click()
    page.get_by_role("link", name=re.compile("^All chats")).click()
    page.get_by_role("button", name="Archive").click()
    expect(page.get_by_role("alert")).to_have_text("Select at least one chat first.")
    page.get_by_role("checkbox", name="Select “/say One”").check()
    page.get_by_role("checkbox", name="Select “/say Three”").check()
    page.get_by_role("combobox", name="Tag").fill("Work")
    page.get_by_role("button", name="Add tag").click()
    expect(page.locator(".item .chip")).to_have_text(["Work", "Work"])
    expect(page.get_by_role("alert")).to_be_empty()
    page.get_by_role("button", name="Delete").click()
    expect(page.locator(".item")).to_have_count(1)
    expect(page.locator("#announcer")).to_have_text("2 chats deleted.")
    undo(page)
    expect(page.locator(".item")).to_have_count(3)
    page.get_by_role("navigation", name="Tags").get_by_role("link", name="Work").click()
    expect(page.locator(".item")).to_have_count(2)


def test_restore_from_archive_and_trash(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    start(page, "/say One", "/say Two")
    choose_action(page, "/say One", "button", "Delete")
    expect(page.locator("#conversations .row-title")).to_have_count(1)
    choose_action(page, "/say Two", "button", "Archive")
    expect(page.get_by_text("Your chats will appear here.")).to_be_visible()
    page.goto("/archive")
    page.get_by_role("button", name="Unarchive").click()
    expect(page.get_by_text("No archived chats.")).to_be_visible()
    expect(page.locator("#conversations .row-title")).to_have_text(["/say Two"])
    page.goto("/trash")
    page.get_by_role("button", name="Restore").click()
    expect(page.get_by_text("The trash is empty.")).to_be_visible()
    undo(page)
    page.get_by_role("button", name="Empty trash").click()
    expect(page.get_by_role("dialog", name="Delete 1 chat permanently?")).to_be_visible()
    page.get_by_role("dialog").get_by_role("button", name="Delete permanently").click()
    expect(page.get_by_text("The trash is empty.")).to_be_visible()
    expect(page.locator("#announcer")).to_have_text("Deleted permanently.")


@pytest.mark.parametrize("wide", [True, False])
def test_organizing_without_javascript(new_visitor: Callable[..., BrowserVisitor], wide: bool) -> None:
    size = {"width": 1280 if wide else 390, "height": 720}
    page = new_visitor(java_script_enabled=False, viewport=size).open_tab()
    rows = page.locator("#conversations .row-title")
    send_question(page, "/say One")
    expect(page.locator(".prose")).to_have_text("One")
    page.get_by_role("button", name="Chat menu").click()
    page.get_by_role("button", name="Pin").click()
    expect(page.locator(".toast", has_text="Pinned.").locator("visible=true")).to_have_count(1)
    undo(page)
    page.get_by_role("button", name="Chat menu").click()
    page.get_by_role("link", name="Tags").click()
    page.get_by_role("textbox", name="New tag").fill("Work")
    page.get_by_role("button", name="Save", exact=True).click()
    page.goto("/conversations")
    page.get_by_role("checkbox", name="Select “/say One”").check()
    page.get_by_role("button", name="Delete").click()
    expect(rows).to_have_count(0)
    page.goto("/trash")
    page.get_by_role("button", name="Restore").click()
    undo(page)
    page.locator("summary", has_text="Delete permanently").click()
    page.get_by_role("button", name="Delete permanently").click()
    expect(page.get_by_text("The trash is empty.")).to_be_visible()


def test_tag_is_renamed_where_it_stands(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab("/tags")
    page.get_by_role("textbox", name="New tag").fill("Wrok")
    page.get_by_role("button", name="Add", exact=True).click()
    chip = page.get_by_role("link", name="Change Wrok")
    chip.click()
    name = page.get_by_role("textbox", name="Name", exact=True)
    expect(name).to_be_focused()
    name.fill("Nonsense")
    # Escape gives up what was typed, and the focus is where it was.
    page.keyboard.press("Escape")
    expect(chip).to_be_focused()
    expect(name).to_have_count(0)
    page.keyboard.press("Enter")
    expect(name).to_be_focused()
    expect(name).to_have_value("Wrok")
    name.fill("Work")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Change Work")).to_be_visible()
    expect(page.get_by_role("button", name="Undo").first).to_be_focused()
    page.get_by_role("link", name="Chats Work").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("All chats")
    expect(page.locator(".chips [aria-current]")).to_have_text("Work")


def test_tag_is_renamed_without_javascript(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor(java_script_enabled=False).open_tab("/tags")
    page.get_by_role("textbox", name="New tag").fill("Wrok")
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_role("link", name="Change Wrok").click()
    page.get_by_role("textbox", name="Name", exact=True).fill("Work")
    page.get_by_role("textbox", name="Name", exact=True).press("Enter")
    expect(page.get_by_role("link", name="Change Work")).to_be_visible()


def test_second_click_on_row_renames_it(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    start(page, "/say One", "/say Two")
    page.get_by_role("link", name="/say One", exact=True).dblclick()
    # The first click has opened it, and its page does not take the focus from the form.
    expect(page.get_by_role("heading", level=1)).to_have_text("/say One")
    box = page.locator("#conversations .row-form").get_by_role("textbox", name="Title")
    expect(box).to_be_focused()
    box.fill("Renamed")
    page.keyboard.press("Enter")
    expect(page.locator("#conversations .row-title")).to_have_text(["/say Two", "Renamed"])
    expect(page.get_by_role("heading", level=1)).to_have_text("Renamed")
    # Two clicks on the row that is open already.
    page.get_by_role("link", name="Renamed", exact=True).dblclick()
    expect(box).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#conversations .row-form")).to_have_count(0)
    page.get_by_role("link", name="/say Two", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("/say Two")
    expect(page.locator("#conversations .row-form")).to_have_count(0)
