"""Searching as one types, without JavaScript, and the way to the very message."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.conftest import BrowserVisitor, ask_and_wait

pytestmark = pytest.mark.browser


def middle_of(element: Locator) -> float:
    """How far down the page the middle of an element is."""
    box = element.bounding_box()
    assert box
    return box["y"] + box["height"] / 2


def test_results_appear_while_typing_and_link_to_message(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    ask_and_wait(page, "/say The zébra of Málaga")
    conversation = page.url
    page.goto(conversation.rpartition("/conversations/")[0] + "/")
    page.get_by_role("button", name="Search").click()
    palette = page.get_by_role("dialog", name="Search or jump to…")
    box = palette.get_by_role("combobox")
    box.press_sequentially("zebra mal")
    expect(palette.locator("mark").first).to_have_text("zébra")
    expect(page.locator("#announcer")).to_have_text("3 results")
    expect(box).to_be_focused()
    box.fill("zebra by:model")
    palette.get_by_role("option", name="All results for “zebra by:model”").click()
    expect(page).to_have_url(conversation.rpartition("/conversations/")[0] + "/search?q=zebra+by:model")
    words = page.get_by_role("searchbox", name="Search your chats")
    expect(page.locator("#results mark")).to_have_text(["zébra"])
    # What is typed before the scripts of the page have begun is not looked for.
    expect(page.locator(".search-form")).to_have_attribute("data-htmx-powered", "true")
    words.fill("zebra by:model horse")
    expect(page.locator("#results")).to_contain_text("No results for")
    expect(words).to_be_focused()
    words.fill("zebra by:model")
    order = page.get_by_role("combobox", name="Sort by")
    count = page.locator(".result-count")
    expect(count).to_have_text("1 result")
    assert abs(middle_of(order) - middle_of(count)) < 4, "one line"
    order.focus()
    page.keyboard.press("ArrowDown")
    expect(page).to_have_url(re.compile(r"/search\?sort=relevance&q=zebra\+by%3Amodel$"))
    # What is typed next is sorted in the same way, also after nothing was found; and the focus has stayed.
    expect(order).to_be_focused()
    words.fill("zebra by:model horse")
    expect(page.locator("#results")).to_contain_text("No results for")
    words.fill("malaga by:model")
    expect(order).to_have_value("relevance")
    expect(page).to_have_url(
        conversation.rpartition("/conversations/")[0] + "/search?q=malaga+by%3Amodel&sort=relevance"
    )
    page.locator(".result-message a").click()
    target = page.locator("article:target")
    expect(target).to_contain_text("The zébra of Málaga")
    expect(target).to_be_in_viewport()


def test_search_works_without_javascript(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor(java_script_enabled=False).open_tab()
    page.get_by_role("textbox", name="Message").fill("/say <b>Zebra</b>")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("article.message-assistant")).to_contain_text("Zebra")
    page.get_by_role("navigation").get_by_role("link", name="Search").click()
    page.get_by_role("searchbox").fill("zebra")
    page.get_by_role("searchbox").press("Enter")
    expect(page.locator("#results")).to_contain_text("3 results")
    expect(page.locator("#results b")).to_have_count(0)
    page.get_by_role("combobox", name="Sort by").select_option("Most relevant first")
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page).to_have_url(re.compile(r"/search\?q=zebra&sort=relevance$"))
    expect(page.get_by_role("combobox", name="Sort by")).to_have_value("relevance")
    page.locator(".result-message a").first.click()
    expect(page.locator("article:target")).to_contain_text("Zebra")


def test_search_works_by_keyboard_only(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    ask_and_wait(page, "/say Zebra")
    page.goto(page.url.rpartition("/conversations/")[0] + "/search")
    expect(page.locator("main input[type=search]")).to_be_focused()
    page.keyboard.type("zebra")
    expect(page.locator(".result-message")).to_have_count(2)
    first = page.locator(".result-message a").first
    for _ in range(20):
        page.keyboard.press("Tab")
        if first.evaluate("(link) => link === document.activeElement"):
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Zebra")
