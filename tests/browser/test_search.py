"""Searching as one types, without JavaScript, and the way to the very message."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visitor, ask_and_wait

pytestmark = pytest.mark.browser


def test_results_come_as_one_types_and_lead_to_the_message(visitor: Callable[..., Visitor]) -> None:
    page = visitor().tab()
    ask_and_wait(page, "/say The zébra of Málaga")
    conversation = page.url
    page.goto(conversation.rpartition("/conversations/")[0] + "/")
    box = page.get_by_role("searchbox", name="Search your conversations")
    box.press_sequentially("zebra mal")
    expect(page.locator("#quick mark").first).to_have_text("zébra")
    expect(page.locator("#conversations")).to_be_hidden()
    expect(page.locator("#announcer")).to_have_text("3 results")
    expect(box).to_be_focused()
    box.fill("")
    expect(page.locator("#conversations")).to_be_visible()

    box.fill("zebra by:model")
    box.press("Enter")
    expect(page).to_have_url(conversation.rpartition("/conversations/")[0] + "/search?q=zebra+by%3Amodel")
    words = page.get_by_role("searchbox", name="Search your conversations")
    expect(page.locator("#found mark")).to_have_text(["zébra"])
    words.fill("zebra by:model horse")
    expect(page.locator("#found")).to_contain_text("Nothing was found.")
    expect(words).to_be_focused()
    words.fill("zebra by:model")
    page.get_by_role("radio", name="Most fitting first").check()
    expect(page).to_have_url(
        conversation.rpartition("/conversations/")[0] + "/search?q=zebra+by%3Amodel&sort=relevance"
    )
    page.locator(".found-message a").click()
    target = page.locator("article:target")
    expect(target).to_contain_text("The zébra of Málaga")
    expect(target).to_be_in_viewport()


def test_search_works_without_javascript(visitor: Callable[..., Visitor]) -> None:
    page = visitor(java_script_enabled=False).tab()
    page.get_by_role("textbox", name="Message").fill("/say <b>Zebra</b>")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("article.message-assistant")).to_contain_text("Zebra")
    page.get_by_role("searchbox").fill("zebra")
    page.get_by_role("searchbox").press("Enter")
    expect(page.locator("#found")).to_contain_text("3 results")
    expect(page.locator("#found b")).to_have_count(0)
    page.get_by_role("radio", name="Most fitting first").check()
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("radio", name="Most fitting first")).to_be_checked()
    page.locator(".found-message a").first.click()
    expect(page.locator("article:target")).to_contain_text("Zebra")


def test_one_can_search_with_the_keyboard_only(visitor: Callable[..., Visitor]) -> None:
    page = visitor().tab()
    ask_and_wait(page, "/say Zebra")
    page.goto(page.url.rpartition("/conversations/")[0] + "/search")
    page.keyboard.type("zebra")
    expect(page.locator(".found-message")).to_have_count(2)
    for _ in range(4):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Zebra")).to_be_visible()
