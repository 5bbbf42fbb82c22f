"""Windows of few lines: a page at 400 %, and a phone on its side with a keyboard."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page, expect

from tests.browser.accessibility.axe import ALL_RULES, RUN_SCRIPT
from tests.browser.conftest import BrowserVisitor, ask_and_wait

pytestmark = pytest.mark.browser

# How much of the window is free for text: what no bar covers, of the column that scrolls.
FREE_SHARE_SCRIPT = """() => {
  const main = document.querySelector("#main").getBoundingClientRect();
  const composer = document.querySelector(".composer").getBoundingClientRect();
  return (composer.top - main.top) / innerHeight;
}"""
LONG_ANSWER = "/say " + "Several lines of text that one wants to read. " * 40


def is_covered(page: Page) -> bool:
    """Whether anything lies over the text in the middle of the column."""
    hit = "() => document.elementFromPoint(innerWidth / 2, innerHeight / 4).closest('.prose, .question, .thread')"
    return page.evaluate_handle(hit).as_element() is None


def test_low_window_is_for_the_text(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor(viewport={"width": 320, "height": 200}).open_tab()
    ask_and_wait(page, LONG_ANSWER)
    box, picker = page.get_by_role("textbox", name="Message"), page.locator("#model-picker")
    box.blur()
    for width, height, least in ((320, 200, 0.7), (568, 320, 0.75), (1280, 380, 0.75)):
        page.set_viewport_size({"width": width, "height": height})
        expect(picker).to_be_hidden()
        assert page.evaluate(FREE_SHARE_SCRIPT) >= least, (width, height)
        assert not is_covered(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.set_viewport_size({"width": 320, "height": 200})
    page.evaluate(AXE_SCRIPT)
    assert page.evaluate(RUN_SCRIPT, ALL_RULES) == []
    # It grows when it is used, and everything in it is reached.
    box.click()
    expect(picker).to_be_in_viewport(ratio=1)
    expect(page.get_by_role("button", name="Send")).to_be_in_viewport(ratio=1)
    page.get_by_role("button", name="Chat menu").click()
    last = page.locator("#conversation-actions .action").last
    last.scroll_into_view_if_needed()
    expect(last).to_be_in_viewport(ratio=1)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Chats").click()
    expect(page.get_by_role("link", name="Overview")).to_be_attached()
    page.get_by_role("link", name="Overview").scroll_into_view_if_needed()
    expect(page.get_by_role("link", name="Overview")).to_be_in_viewport(ratio=1)
    page.keyboard.press("Escape")
    # A window of usual height has its bar above and the model below.
    page.set_viewport_size({"width": 320, "height": 568})
    expect(picker).to_be_visible()
    expect(page.locator(".topbar h1")).to_be_in_viewport(ratio=1)


def test_bars_of_a_phone_take_one_row(new_visitor: Callable[..., BrowserVisitor]) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "locale": "es-ES"}
    page = new_visitor(**phone).open_tab()
    heading = page.locator(".topbar h1")
    assert heading.evaluate("element => element.scrollWidth <= element.clientWidth"), "The title is cut."
    switch = page.get_by_role("checkbox", name="Chat temporal")
    expect(switch).to_be_attached()
    page.get_by_role("textbox", name="Mensaje").fill("/say Hola")
    page.get_by_role("button", name="Enviar").tap()
    expect(page.locator(".prose").last).to_have_text("Hola")
    page.goto("/conversations?all=1")
    toolbar = page.get_by_role("group", name="Con los seleccionados")
    box = toolbar.bounding_box()
    assert box
    assert box["height"] < 72
    # What does not fit is scrolled to.
    page.get_by_role("button", name="Quitar etiqueta").scroll_into_view_if_needed()
    expect(page.get_by_role("button", name="Quitar etiqueta")).to_be_in_viewport(ratio=1)
