"""Long conversations: the rail of questions, the way down, keys from turn to turn, and a search over all messages."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.chat.test_long_conversations import begin, number
from tests.browser.conftest import BrowserVisitor, ask_and_wait

pytestmark = pytest.mark.browser

FOCUSED = "document.activeElement.closest('article')?.innerText ?? ''"


def test_rail_shows_where_one_is_and_leads_to_questions(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page, names = begin(new_visitor())
    items = page.locator(".outline-item")
    current = page.locator(".outline-item[aria-current]")
    expect(items).to_have_count(60)
    expect(current).to_have_text(items.nth(59).text_content() or "")
    # It is one stop of the Tab key, and a list as soon as it has the focus.
    assert page.locator(".outline-item:not([tabindex='-1'])").count() == 1
    expect(page.locator(".outline-jumps")).to_be_hidden()
    current.focus()
    expect(page.locator(".outline-jumps")).to_be_visible()
    page.keyboard.press("Home")
    expect(items.nth(0)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(":target")).to_contain_text("The very beginning")
    expect(current).to_have_text(items.nth(0).text_content() or "")
    # The date is in the same list.
    current.focus()
    page.locator(".outline").get_by_label("Jump to date").fill("2041-02-15")
    page.locator(".outline").get_by_role("button", name="Go").click()
    expect(page.locator(":target")).to_contain_text("Number 134.")
    expect(page.get_by_role("navigation", name="Questions")).to_be_visible()
    # Scrolling moves the mark.
    page.goto(f"/messages/{names[150]}")
    expect(current).to_have_count(1)
    before = current.text_content() or ""
    page.locator("#main").evaluate("(main) => { main.scrollTop -= 1500 }")
    expect(current).not_to_have_text(before)


def test_way_down_is_offered_beyond_one_window(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page, _ = begin(new_visitor())
    way_down = page.get_by_role("link", name="Latest message")
    expect(page.locator(".scroll-bottom .button")).to_be_hidden()
    page.locator("#main").evaluate("(main) => { main.scrollTop = -main.clientHeight / 2 }")
    expect(page.locator(".scroll-bottom")).not_to_have_class("scroll-bottom is-far")
    page.locator("#main").evaluate("(main) => { main.scrollTop = -main.clientHeight * 1.5 }")
    composer = page.locator(".composer-box").bounding_box()
    expect(way_down).to_be_visible()
    assert page.locator(".composer-box").bounding_box() == composer
    way_down.focus()
    page.keyboard.press("Enter")
    expect(number(page, 299)).to_be_in_viewport()
    expect(page.locator(".scroll-bottom .button")).to_be_hidden()
    assert page.locator("#main").evaluate("(main) => main.scrollTop") == 0


def test_keys_lead_from_turn_to_turn(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page, _ = begin(new_visitor())
    text = page.get_by_role("textbox", name="Message")
    text.focus()
    page.keyboard.press("Alt+ArrowUp")
    page.wait_for_function(f"() => ({FOCUSED}).includes('Number 299.')")
    page.keyboard.press("Alt+ArrowUp")
    page.wait_for_function(f"() => ({FOCUSED}).includes('Number 298.')")
    assert page.evaluate("document.activeElement.tagName") == "H2"
    expect(number(page, 298)).to_be_in_viewport()
    page.keyboard.press("Alt+ArrowDown")
    page.wait_for_function(f"() => ({FOCUSED}).includes('Number 299.')")
    # In a text these keys are those of the text.
    text.fill("half a thought")
    page.keyboard.press("Alt+ArrowUp")
    expect(text).to_be_focused()


def test_keys_lead_from_version_to_version(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    ask_and_wait(page, "/say One")
    page.get_by_role("link", name="Edit this question").click()
    page.locator(".edit textarea").fill("/say Two")
    page.locator(".edit").get_by_role("button", name="Send").click()
    expect(page.locator(".prose").last).to_have_text("Two")
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    page.locator("article.message-user .timestamp").focus()
    page.keyboard.press("Alt+,")
    expect(page.locator(".prose").last).to_have_text("One")
    page.keyboard.press("Alt+.")
    expect(page.locator(".prose").last).to_have_text("Two")
    page.locator("article.message-user").get_by_role("link", name="Compare versions").click()
    expect(page.locator(".difference del")).to_contain_text("One")
    expect(page.locator(".difference ins")).to_contain_text("Two")


def test_search_finds_messages_that_are_not_on_the_page(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page, _ = begin(new_visitor())
    box = page.get_by_role("searchbox", name="Search this chat (all 302 messages)")
    # What is loaded after the page shows that htmx has begun.
    expect(page.locator(".outline-item").first).to_be_attached()
    page.keyboard.press("Control+f")
    expect(box).to_be_focused()
    # The second time the browser's own search opens: nobody takes the keys.
    page.evaluate("addEventListener('keydown', (event) => { window.taken = event.defaultPrevented })")
    page.keyboard.press("Control+f")
    assert page.evaluate("window.taken") is False
    page.keyboard.type('"number 10"')
    results = page.locator(".chat-search .result-message")
    expect(results).to_have_count(1)
    expect(results.locator("mark")).to_have_text("Number 10")
    box.fill("by:me line")
    expect(results).to_have_count(20)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator(":target")).to_be_in_viewport()
    expect(page.locator(".chat-search")).to_contain_text("Result 1 of 20")
    first = page.locator(":target").get_attribute("id")
    earlier = page.get_by_role("link", name="Earlier result")
    expect(earlier).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".chat-search")).to_contain_text("Result 2 of 20")
    assert page.locator(":target").get_attribute("id") != first
    page.keyboard.press("Escape")
    expect(page.locator(".chat-search")).to_have_count(0)


def test_short_conversation_leaves_the_keys_of_the_browser_alone(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    ask_and_wait(page, "/say Short")
    page.reload()
    page.evaluate("addEventListener('keydown', (event) => { window.taken = event.defaultPrevented })")
    page.keyboard.press("Control+f")
    assert page.evaluate("window.taken") is False
    expect(page.locator(".outline, .chat-search")).to_have_count(0)


def test_title_is_renamed_in_place(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor(refused=True).open_tab()
    ask_and_wait(page, "/say River")
    # It is a button from the first question on.
    page.get_by_role("link", name="Rename the chat").click()
    field = page.locator(".topbar").get_by_role("textbox", name="Title")
    expect(field).to_be_focused()
    field.fill("Rivers")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Rivers")
    expect(page.locator(".row-title")).to_contain_text("Rivers")
    expect(field).to_have_count(0)
    page.get_by_role("textbox", name="Message").focus()
    page.keyboard.press("F2")
    expect(field).to_be_focused()
    field.fill("Lakes")
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="Rename the chat")).to_be_focused()
    expect(page.get_by_role("heading", level=1)).to_have_text("Rivers")
    # What is refused stays in the field, and a sentence says why.
    page.keyboard.press("Enter")
    field.fill(" ")
    page.keyboard.press("Enter")
    expect(page.locator(".rename-form .notice")).to_be_visible()
    expect(field).to_be_visible()
