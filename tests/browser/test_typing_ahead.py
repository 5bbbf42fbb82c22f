"""What is typed while another page is on its way goes into the box of that page."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Route, expect

from tests.browser.conftest import BrowserVisitor, ask_and_wait
from tests.browser.test_switching import row

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("by_key", [False, True])
def test_what_is_typed_on_the_way_is_for_the_next_page(
    new_visitor: Callable[..., BrowserVisitor], by_key: bool
) -> None:
    page = new_visitor().open_tab()
    ask_and_wait(page, "/say First")
    held: list[Route] = []
    page.route(re.compile(r"/$"), lambda route: held.append(route))
    box = page.locator("#text")
    box.press_sequentially("Half a thought")
    if by_key:
        page.keyboard.press("Control+Shift+O")
    else:
        page.locator("#sidebar").get_by_role("link", name="New chat").click()
    expect(page.locator("#page")).to_have_class(re.compile("htmx-request"))
    page.keyboard.type("quick as á flash")
    # The old conversation gets none of it.
    expect(box).to_have_value("Half a thought")
    held.pop().continue_()
    expect(page.get_by_role("heading", level=1)).to_have_text("New chat")
    expect(box).to_have_value("quick as á flash")
    expect(box).to_be_focused()
    # What comes next follows it, and it is kept as anything typed there.
    with page.expect_response(lambda response: "lightning" in (response.request.post_data or "")):
        page.keyboard.type(" of lightning")
    expect(box).to_have_value("quick as á flash of lightning")
    page.unroute(re.compile(r"/$"))
    row(page, "/say First")
    expect(box).to_have_value("Half a thought")
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("New chat")
    expect(box).to_have_value("quick as á flash of lightning")
    # Where there is no box, nothing is left over for the next one.
    page.route("**/overview", lambda route: held.append(route))
    page.locator("#sidebar").get_by_role("link", name="Overview").click()
    page.keyboard.type("into nowhere")
    held.pop().continue_()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    row(page, "/say First")
    expect(box).to_have_value("Half a thought")


def test_palette_that_opens_on_the_way_stays_open(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    ask_and_wait(page, "/say First")
    held: list[Route] = []
    page.route("**/overview", lambda route: held.append(route))
    page.locator("#sidebar").get_by_role("link", name="Overview").click()
    expect(page.locator("#page")).to_have_class(re.compile("htmx-request"))
    page.keyboard.press("Control+k")
    page.keyboard.type("prefer")
    held.pop().continue_()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    page.keyboard.type("ences")
    expect(page.locator(".palette-box")).to_have_value("preferences")
    page.keyboard.press("Enter")
    # The palette through which one left is closed.
    expect(page.get_by_role("heading", level=1)).to_have_text("Settings")
    expect(page.locator("#palette")).to_be_hidden()
