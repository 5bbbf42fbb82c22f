"""The settings page in a browser: what is changed is saved and said, and everything can be done without scripts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import BrowserVisitor, ask_and_wait

pytestmark = pytest.mark.browser


def test_each_change_is_saved_and_keeps_the_focus(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor(refused=True).open_tab("/settings")
    text = page.get_by_role("textbox", name="Instructions for every chat")
    note = page.locator("#saved-instructions")
    text.fill("i" * 1501)
    page.keyboard.press("Tab")
    expect(note).to_contain_text("the maximum is 1,500")
    text.fill("Answer in one word.")
    save = page.locator("#instructions").get_by_role("button", name="Save")
    save.focus()
    page.keyboard.press("Enter")
    expect(note).to_have_text("Saved")
    expect(save).to_be_focused()
    style = page.get_by_label("Style", exact=True)
    style.focus()
    style.select_option(label="creative")
    expect(page.locator("#saved-defaults")).to_have_text("Saved")
    expect(style).to_be_focused()
    page.goto("/")
    expect(page.locator("#model-picker-name")).to_contain_text("creative")
    page.locator("#model-picker-name").click()
    page.get_by_role("radio", name="precise").check()
    page.get_by_role("button", name="Use for new chats").click()
    expect(page.locator("#saved-defaults")).to_have_text("Saved")
    page.goto("/settings")
    expect(style).to_have_value("precise")
    page.goto("/")
    ask_and_wait(page, "/say The first")
    page.locator(".signature").last.click()
    expect(page.locator(".turn-persona")).to_contain_text("Your instructions for every chat")
    expect(page.locator(".turn-persona")).to_contain_text("Answer in one word.")


def test_everything_can_be_deleted_and_forgotten_without_scripts(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor(refused=True, java_script_enabled=False).open_tab("/settings")
    page.get_by_role("textbox", name="Instructions for every chat").fill("Be brief.")
    page.locator("#instructions").get_by_role("button", name="Save").click()
    expect(page.locator("#saved-instructions")).to_have_text("Saved")
    expect(page.locator("#instructions").get_by_role("button", name="Save")).to_be_focused()
    page.get_by_role("link", name="Delete everything").click()
    page.get_by_role("checkbox", name="Yes, delete everything").check()
    page.get_by_role("button", name="Delete everything").click()
    expect(page.get_by_text("Everything was deleted.")).to_be_visible()
    page.goto("/settings")
    expect(page.get_by_role("textbox", name="Instructions for every chat")).to_have_value("")
    page.goto("/")
    ask_and_wait(page, "/say The first")
    page.goto("/settings")
    page.get_by_role("link", name="Forget this browser").click()
    page.get_by_role("checkbox", name="Yes, I do not need").check()
    page.get_by_role("button", name="Forget this browser").click()
    expect(page.get_by_text("This browser has forgotten your chats.")).to_be_visible()
    page.goto("/")
    expect(page.locator(".row-title")).to_have_count(0)
