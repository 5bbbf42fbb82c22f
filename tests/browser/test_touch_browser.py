"""What fingers expect: one tap does it, nothing covers what is read, and no keyboard comes unasked."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import BrowserVisitor, ask_and_wait

pytestmark = pytest.mark.browser

PHONE = {"viewport": {"width": 390, "height": 780}, "has_touch": True, "is_mobile": True}


def keyboard_for(page: Page) -> str:
    """The field that has the focus, for which a phone would show its keyboard; empty if there is none."""
    field = "document.activeElement.closest('textarea, input:not([type=checkbox], [type=radio])')"
    return str(page.evaluate(f"{field}?.outerHTML ?? ''"))


def open_list(page: Page) -> None:
    """Open the drawer with the list."""
    page.locator(".topbar .menu").tap()
    expect(page.locator("#sidebar")).to_be_visible()


def test_taps_send_open_and_choose(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor(**PHONE).open_tab()
    box = page.locator("#text")
    page.locator(".starters a").first.tap()
    expect(box).not_to_have_value("")
    # Enter begins a line, since a keyboard on the screen has no Shift+Enter at hand.
    box.fill("/say One")
    box.press("Enter")
    box.press_sequentially("line")
    expect(box).to_have_value("/say One\nline")
    page.get_by_role("button", name="Send").tap()
    expect(page.locator(".prose")).to_contain_text("One")
    expect(page.locator("article[aria-busy=true]")).to_have_count(0)

    # The row under an answer is there without pointing at it.
    for name in ("Copy this answer", "Regenerate", "Good answer", "More"):
        control = page.locator("article").last.get_by_label(name, exact=True)
        assert control.evaluate("(each) => getComputedStyle(each).opacity") == "1", name
    page.get_by_role("link", name="More", exact=True).tap()
    menu = page.locator("#answer-menu")
    expect(menu.get_by_role("link", name="Regenerate with…")).to_be_in_viewport()
    # A tap beside it closes it, and does nothing else.
    page.touchscreen.tap(195, 60)
    expect(menu).to_be_hidden()
    expect(page.get_by_role("heading", level=1)).to_contain_text("/say One")
    assert keyboard_for(page) == ""

    page.locator(".topbar .start").tap()
    expect(page.locator("#welcome")).to_be_visible()
    assert keyboard_for(page) == ""
    ask_and_wait(page, "/say Two")
    open_list(page)
    page.locator("#conversations").get_by_role("link", name="/say One line", exact=True).tap()
    expect(page.locator("#sidebar")).to_be_hidden()
    expect(page.locator(".question")).to_contain_text("One")
    assert keyboard_for(page) == ""


def test_row_menu_by_tap(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor(**PHONE).open_tab()
    ask_and_wait(page, "/say One")
    open_list(page)
    page.get_by_role("link", name="Actions for “/say One”").tap()
    menu = page.locator("#row-menu")
    expect(menu.get_by_role("button", name="Delete")).to_be_in_viewport()
    # A tap beside it closes the menu; the list stays.
    page.locator("#conversations .day").first.tap()
    expect(menu).to_be_hidden()
    expect(page.locator("#sidebar")).to_be_visible()
    page.get_by_role("link", name="Actions for “/say One”").tap()
    menu.get_by_role("button", name="Pin").tap()
    expect(menu).to_be_hidden()
    expect(page.locator("#conversations .day").first).to_have_text("Pinned")
    expect(page.locator("#sidebar").get_by_role("button", name="Undo")).to_be_in_viewport()


def test_edit_and_versions_by_tap(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor(**PHONE).open_tab()
    ask_and_wait(page, "/say One")
    page.get_by_role("link", name="Edit this question").tap()
    edit = page.get_by_role("textbox", name="Edit question")
    # Who edits wants to type.
    expect(edit).to_be_focused()
    edit.fill("/say Two")
    edit.press("Enter")
    expect(edit).to_have_value("/say Two\n")
    page.locator(".edit").get_by_role("button", name="Send").tap()
    expect(page.locator(".prose")).to_have_text("Two")
    previous = page.get_by_role("button", name="Previous version")
    target = previous.bounding_box()
    assert target
    assert min(target["width"], target["height"]) >= 44
    previous.tap()
    expect(page.locator(".prose")).to_have_text("One")
    assert keyboard_for(page) == ""
