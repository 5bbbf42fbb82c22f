"""A page is asked for when the mouse is pressed on its link or keys led to it; of a long one the end comes first."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, Request, expect

from tests.browser.chat.test_long_conversations import begin, number
from tests.browser.conftest import BrowserVisitor

pytestmark = pytest.mark.browser

LENGTH = 300
MESSAGES = "#thread article"
AHEAD_SCRIPT = """
() => performance.getEntriesByType("resource").map((each) => each.name).find((name) => name.includes("page_ahead"))
"""


def open_long_chat(visitor: BrowserVisitor) -> tuple[Page, list[str]]:
    """The front page beside a long conversation, with the script that asks ahead; and what is asked for from now on."""
    page, _ = begin(visitor)
    page.locator("#sidebar").get_by_role("link", name="New chat").click()
    expect(page.locator("#welcome")).to_be_visible()
    asked: list[str] = []

    def note(request: Request) -> None:
        if request.headers.get("hx-target") == "div#page":
            asked.append(request.url)

    page.on("request", note)
    return page, asked


def point_at(page: Page, link: Locator) -> None:
    """Move the mouse onto a link and press its button."""
    box = link.bounding_box()
    assert box
    page.mouse.move(box["x"] + 10, box["y"] + box["height"] / 2)
    page.mouse.move(box["x"] + 20, box["y"] + box["height"] / 2)
    # Loaded by the first move of a mouse.
    script = page.wait_for_function(AHEAD_SCRIPT).json_value()
    page.evaluate("(address) => import(address)", script)
    page.mouse.down()


def test_press_asks_for_the_page_once(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page, asked = open_long_chat(new_visitor())
    link = page.locator("#conversations .row-title").first
    with page.expect_response(lambda response: "/conversations/" in response.url):
        point_at(page, link)
    expect(page.locator("#welcome")).to_be_visible()
    page.mouse.up()
    expect(number(page, LENGTH - 1)).to_be_in_viewport()
    assert len(asked) == 1
    assert page.url.endswith(str(link.get_attribute("href")))


def test_rest_on_a_link_asks_for_the_page_once(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page, asked = open_long_chat(new_visitor())
    link = page.locator("#conversations .row-title").first
    with page.expect_response(lambda response: "/conversations/" in response.url):
        page.locator("#sidebar .entry").last.focus()
        page.keyboard.press("ArrowDown")
    expect(link).to_be_focused()
    expect(page.locator("#welcome")).to_be_visible()
    page.keyboard.press("Enter")
    expect(number(page, LENGTH - 1)).to_be_in_viewport()
    assert len(asked) == 1
    assert page.url.endswith(str(link.get_attribute("href")))


def test_press_on_a_button_asks_for_nothing(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page, asked = open_long_chat(new_visitor())
    point_at(page, page.locator("#sidebar").get_by_role("button", name="Search"))
    page.mouse.up()
    expect(page.locator("#palette")).to_be_visible()
    assert asked == []


def test_press_that_is_no_click_changes_nothing(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page, asked = open_long_chat(new_visitor())
    link = page.locator("#conversations .row-title").first
    with page.expect_response(lambda response: "/conversations/" in response.url):
        point_at(page, link)
    page.mouse.move(900, 500)
    page.mouse.up()
    # Long after the press the page is asked for again, since it may have changed.
    page.evaluate("() => new Promise((done) => setTimeout(done, 1100))")
    expect(page.locator("#welcome")).to_be_visible()
    link.focus()
    page.keyboard.press("Enter")
    expect(number(page, LENGTH - 1)).to_be_in_viewport()
    assert len(asked) == 2


def test_end_of_a_long_conversation_comes_first(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page, _ = open_long_chat(new_visitor())
    counts: list[int] = []
    page.expose_function("noteCount", lambda count: counts.append(count))
    page.evaluate(
        f"""() => addEventListener("htmx:after:swap", ({{ detail: {{ ctx }} }}) =>
            /page|load-more/.test(ctx.target?.id) && noteCount(document.querySelectorAll("{MESSAGES}").length))"""
    )
    point_at(page, page.locator("#conversations .row-title").first)
    page.mouse.up()
    # The rest of a page follows by itself, and the end stays where it is.
    page.wait_for_function(f"() => document.querySelectorAll('{MESSAGES}').length === 76")
    assert counts == [16, 76]
    expect(number(page, LENGTH - 1)).to_be_in_viewport()
    assert page.evaluate("main.scrollTop") == 0
    page.evaluate("main.scrollTop = -2500")
    page.locator("#sidebar").get_by_role("link", name="New chat").click()
    expect(page.locator("#welcome")).to_be_visible()
    # Going back leads to the place where one was, so as much as that takes comes at once.
    page.go_back()
    page.wait_for_function("() => main.scrollTop === -2500")
    assert counts[2:] == [0, 60]


def test_site_that_is_away_is_told_at_the_click(new_visitor: Callable[..., BrowserVisitor]) -> None:
    visitor = new_visitor()
    visitor.expects_refusals = True
    page, _ = open_long_chat(visitor)
    link = page.locator("#conversations .row-title").first
    visitor.context.set_offline(True)
    with page.expect_event("requestfailed"):
        point_at(page, link)
    expect(page.locator("#welcome")).to_be_visible()
    page.mouse.up()
    # The browser shows the page for when the site cannot be reached.
    expect(page.get_by_role("heading", level=1)).not_to_have_text("New chat")
