"""Sharing a conversation, with JavaScript and without it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor, ask, ask_and_wait

pytestmark = pytest.mark.browser


def share(page: Page) -> str:
    """Share the conversation that is open; returns the address."""
    page.get_by_role("button", name="Conversation menu").click()
    page.get_by_role("link", name="Share", exact=True).click()
    page.get_by_role("radio", name="For a week").check()
    page.get_by_role("button", name="Make the page").click()
    expect(page.get_by_text("It can be read until")).to_be_visible()
    return page.locator(".address code").inner_text()


@pytest.mark.parametrize("scripts", [True, False])
def test_a_shared_page(visitor: Callable[..., Visitor], scripts: bool) -> None:
    owner = visitor(java_script_enabled=scripts).tab()
    ask(owner, "/say Shared words")
    expect(owner.locator(".prose")).to_have_text("Shared words")
    expect(owner.get_by_role("button", name="Send")).to_be_visible()
    address = share(owner)

    guest = visitor(java_script_enabled=scripts, refused=True)
    page = guest.tab()
    guest.context.clear_cookies()
    page.goto(address)
    expect(page.get_by_role("heading", name="/say Shared words")).to_be_visible()
    expect(page.locator(".prose")).to_have_text("Shared words")
    assert guest.context.cookies() == []
    expect(page.get_by_role("textbox")).to_have_count(0)

    owner.goto(owner.url.partition("/shares")[0])
    ask(owner, "/say Said later")
    expect(owner.locator(".prose").last).to_have_text("Said later")
    expect(owner.get_by_role("button", name="Send")).to_be_visible()
    page.reload()
    expect(page.locator(".prose")).to_have_text("Shared words")
    owner.get_by_role("button", name="Conversation menu").click()
    owner.get_by_role("link", name="Share", exact=True).click()
    owner.get_by_role("button", name="Update to how it is now").click()
    if scripts:
        expect(owner.locator("#announcer")).to_have_text("Changed")
        expect(owner.get_by_role("button", name="Update to how it is now")).to_be_focused()
    else:
        expect(owner).to_have_url(re.compile("#share-"))
    page.reload()
    expect(page.locator(".prose").last).to_have_text("Said later")

    page.get_by_role("link", name="Continue as my copy").click()
    page.get_by_role("button", name="Make my copy").click()
    expect(page).to_have_url(re.compile("/conversations/"))
    ask(page, "/say Words of my own")
    expect(page.locator(".prose").last).to_have_text("Words of my own")
    mine = page.url

    owner.get_by_role("button", name="End sharing").click()
    if scripts:
        expect(owner.get_by_text("Nobody can read this page any more.").first).to_be_focused()
    else:
        expect(owner.locator(".address")).to_have_count(0)
    page.goto(address)
    expect(page.get_by_text("This does not exist, or it is not yours.").first).to_be_visible()
    page.goto(mine)
    expect(page.locator(".prose").last).to_have_text("Words of my own")
    expect(page.get_by_text("Words of my own")).not_to_have_count(0)


def test_the_address_is_copied(visitor: Callable[..., Visitor]) -> None:
    owner = visitor(permissions=["clipboard-read", "clipboard-write"]).tab()
    ask_and_wait(owner, "/say Copied")
    address = share(owner)
    owner.get_by_role("button", name="Copy the address").click()
    expect(owner.locator("#announcer")).to_have_text("Copied")
    assert owner.evaluate("navigator.clipboard.readText()") == address
