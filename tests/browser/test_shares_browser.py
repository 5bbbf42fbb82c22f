"""Sharing a conversation, with JavaScript and without it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.accessibility.axe import find_violations
from tests.browser.conftest import BrowserVisitor, ask_and_wait, send_question

pytestmark = pytest.mark.browser


def share(page: Page) -> str:
    """Share the conversation that is open; returns the address."""
    page.get_by_role("button", name="Chat menu").click()
    page.get_by_role("link", name="Share", exact=True).click()
    expect(page.get_by_text("2 messages")).to_be_visible()
    expect(page.get_by_label("Expires")).to_have_value("month")
    page.get_by_label("Expires").select_option("In a week")
    page.get_by_role("button", name="Create").click()
    expect(page.locator(".share").get_by_text("Expires", exact=False).first).to_be_visible()
    expect(page.get_by_text("This link works only on this computer.")).to_be_visible()
    return page.locator(".share-url code").inner_text()


@pytest.mark.parametrize("scripts", [True, False])
def test_share_can_be_read_updated_copied_revoked(new_visitor: Callable[..., BrowserVisitor], scripts: bool) -> None:
    owner = new_visitor(java_script_enabled=scripts).open_tab()
    send_question(owner, "/say Shared words")
    expect(owner.locator(".prose")).to_have_text("Shared words")
    expect(owner.get_by_role("button", name="Send")).to_be_visible()
    address = share(owner)

    guest = new_visitor(java_script_enabled=scripts, refused=True)
    page = guest.open_tab()
    guest.context.clear_cookies()
    page.goto(address)
    expect(page.get_by_role("heading", name="/say Shared words")).to_be_visible()
    expect(page.locator(".prose")).to_have_text("Shared words")
    assert guest.context.cookies() == []
    expect(page.get_by_role("textbox")).to_have_count(0)

    owner.goto(owner.url.partition("/shares")[0])
    send_question(owner, "/say Said later")
    expect(owner.locator(".prose").last).to_have_text("Said later")
    expect(owner.get_by_role("button", name="Send")).to_be_visible()
    page.reload()
    expect(page.locator(".prose")).to_have_text("Shared words")
    owner.get_by_role("button", name="Chat menu").click()
    owner.get_by_role("link", name="Share", exact=True).click()
    owner.get_by_role("button", name="Update").click()
    if scripts:
        expect(owner.locator("#announcer")).to_have_text("Saved")
        expect(owner.get_by_role("button", name="Update")).to_be_focused()
    else:
        expect(owner).to_have_url(re.compile("#share-"))
    page.reload()
    expect(page.locator(".prose").last).to_have_text("Said later")

    page.get_by_role("link", name="Continue this chat").click()
    page.get_by_role("button", name="Copy to my chats").click()
    expect(page).to_have_url(re.compile("/conversations/"))
    send_question(page, "/say Words of my own")
    expect(page.locator(".prose").last).to_have_text("Words of my own")
    mine = page.url

    owner.get_by_role("button", name="Stop sharing").click()
    if scripts:
        expect(owner.get_by_text("The link no longer works.").first).to_be_focused()
    else:
        expect(owner.locator(".share-url")).to_have_count(0)
    page.goto(address)
    expect(page.get_by_role("heading", name="This shared page is no longer available")).to_be_visible()
    assert not scripts or find_violations(page) == []
    expect(page.get_by_role("main").get_by_role("link")).to_have_text(["What is chatsite?"])
    page.goto(mine)
    expect(page.locator(".prose").last).to_have_text("Words of my own")
    expect(page.get_by_text("Words of my own")).not_to_have_count(0)


def test_new_link_is_copied_as_it_is_created(new_visitor: Callable[..., BrowserVisitor]) -> None:
    owner = new_visitor(permissions=["clipboard-read", "clipboard-write"]).open_tab()
    ask_and_wait(owner, "/say Copied")
    address = share(owner)
    copied = owner.get_by_role("button", name="Link copied ✓")
    expect(copied).to_be_focused()
    expect(owner.locator("#announcer")).to_have_text("Link copied ✓")
    assert owner.evaluate("navigator.clipboard.readText()") == address
    assert find_violations(owner) == []
    # From then on it is a Copy button as any other.
    owner.evaluate("navigator.clipboard.writeText('something else')")
    copied.click()
    expect(owner.locator("#announcer")).to_have_text("Copied")
    assert owner.evaluate("navigator.clipboard.readText()") == address


def test_link_that_browser_does_not_copy_is_left_to_its_button(new_visitor: Callable[..., BrowserVisitor]) -> None:
    owner = new_visitor().open_tab()
    owner.add_init_script("navigator.clipboard.write = () => Promise.reject(); document.execCommand = () => false")
    ask_and_wait(owner, "/say Refused")
    owner.reload()
    share(owner)
    expect(owner.get_by_role("button", name="Copy link")).to_be_focused()
    expect(owner.locator("#announcer")).to_have_text("Link created.")
    expect(owner.locator("dialog[open]:not(#sheet)")).to_have_count(0)
