"""The row under an answer: its menus by mouse, keys and touch, and what they copy, quote and save."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import BrowserVisitor, ask_and_wait, wait_for_script

pytestmark = pytest.mark.browser

ANSWER = "/say One **bold** claim.\n\n```python\ndef hello():\n    print('hi')\n```\n\nAnd a second."
GAP_SCRIPT = """() => {
  const question = [...document.querySelectorAll("#thread .message-user")].at(-1);
  const answer = question.previousElementSibling.querySelector(".prose").lastElementChild.lastElementChild;
  return question.querySelector(".question").getBoundingClientRect().top - answer.getBoundingClientRect().bottom;
}"""


def test_menus_open_at_answer_and_do_what_they_say(new_visitor: Callable[..., BrowserVisitor]) -> None:
    guest = new_visitor()
    guest.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = guest.open_tab()
    ask_and_wait(page, ANSWER)
    menu, box = page.locator("#answer-menu"), page.get_by_role("textbox", name="Message")
    arrow = page.get_by_role("link", name="Regenerate with…")
    arrow.click()
    expect(menu.get_by_role("button")).to_have_text(["More precise", "More creative"])
    expect(menu.get_by_role("button").first).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(menu.get_by_role("button", name="More creative")).to_be_focused()
    page.keyboard.press("Escape")
    expect(menu).to_be_hidden()
    expect(arrow).to_be_focused()
    for name, copied in (("Copy as Markdown", "One **bold** claim."), ("Copy as plain text", "One bold claim.")):
        page.get_by_role("link", name="More", exact=True).click()
        menu.get_by_role("button", name=name).click()
        expect(menu).to_be_hidden()
        expect(page.locator("#announcer")).to_have_text("Copied")
        assert page.evaluate("navigator.clipboard.readText()").startswith(copied)
        expect(page.locator(".copy-message.copied")).to_have_count(0)
    with page.expect_download() as download:
        page.locator(".prose").get_by_role("button", name="Download", exact=True).click()
    assert download.value.suggested_filename == "hello.py"
    assert download.value.path().read_text() == "def hello():\n    print('hi')\n"
    page.locator(".prose p").first.click(click_count=3)
    page.get_by_role("button", name="Quote", exact=True).click()
    expect(box).to_have_value("> One bold claim.\n\n")
    expect(box).to_be_focused()
    expect(page.locator(".quote-button")).to_have_count(0)
    page.get_by_role("link", name="More", exact=True).click()
    menu.get_by_role("button", name="Quote in my message").click()
    expect(box).to_be_focused()
    assert "> And a second.\n\n" in box.input_value()
    assert "Download" not in box.input_value()
    assert "Copy" not in box.input_value()
    box.fill("")
    # A click on a menu's entry regenerates, and a question with code has it set.
    arrow.click()
    menu.get_by_role("button", name="More creative").click()
    expect(page.get_by_text("2/2")).to_be_visible()
    expect(page.locator("[aria-busy=true]")).to_have_count(0)
    ask_and_wait(page, "/say `x` **y**")
    expect(page.locator(".question code").last).to_have_text("x")
    expect(page.locator(".question").last).to_have_text("/say x **y**")
    assert page.evaluate(GAP_SCRIPT) <= 40
    expect(page.get_by_role("heading", name="You: /say `x` **y**")).to_have_count(1)
    expect(page.get_by_role("heading", name="Answer by Demo script, 2 of 2")).to_have_count(1)


def test_everything_is_within_reach_of_a_finger(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor(viewport={"width": 390, "height": 780}, has_touch=True, is_mobile=True).open_tab()
    ask_and_wait(page, "/say Hello")
    tools = page.locator("article.message-assistant > footer")
    assert tools.evaluate("(row) => row.offsetHeight") <= 48, "one line"
    for size in tools.locator(".tool:visible").evaluate_all("(all) => all.map((e) => [e.offsetWidth, e.offsetHeight])"):
        assert min(size) >= 44
    page.get_by_role("link", name="More", exact=True).tap()
    page.get_by_role("link", name="Regenerate with…").tap()
    expect(page.locator("#answer-menu").get_by_role("button", name="More precise")).to_be_visible()
    page.keyboard.press("Escape")
    page.locator(".signature").tap()
    expect(page.locator(".report-headline")).to_be_in_viewport()


def test_selection_is_quoted_by_key(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    ask_and_wait(page, "/say One claim.\n\nAnd another.")
    box = page.get_by_role("textbox", name="Message")
    page.locator(".question").click(click_count=3)
    wait_for_script(page, "quote")
    # Only what is in an answer.
    page.keyboard.press("Control+Shift+u")
    expect(box).to_have_value("")
    page.locator(".prose p").last.click(click_count=3)
    page.keyboard.press("Control+Shift+u")
    expect(box).to_have_value("> And another.\n\n")
    expect(box).to_be_focused()
    page.keyboard.type("Why?")
    page.keyboard.press("Control+Shift+u")
    expect(box).to_have_value("> And another.\n\nWhy?")
    # With Cyrillic letters on the keys.
    page.locator(".prose p").first.click(click_count=3)
    page.evaluate(
        """() => document.body.dispatchEvent(new KeyboardEvent("keydown", {
          key: "Г", code: "KeyU", ctrlKey: true, shiftKey: true, bubbles: true,
        }))"""
    )
    expect(box).to_have_value("> And another.\n\nWhy?\n\n> One claim.\n\n")
    expect(page.locator(".quote-button")).to_have_count(0)
