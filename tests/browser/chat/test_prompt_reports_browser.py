"""What the model saw, the cut line and the gauge, as a visitor meets them."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import BrowserVisitor, ask_and_wait, send_question
from tests.browser.writer import Writer

pytestmark = pytest.mark.browser

# More than half of the words that the script reads at once.
LONG = "/say " + "word " * 780
SAW = "What the model saw"


def test_prompt_report_opens_beside_conversation_and_stays_open(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    ask_and_wait(page, "Hello there")
    expect(page.locator("#context-meter")).to_have_text("59 of 2,000 tokens")
    signature = page.locator(".signature")
    expect(signature).to_have_text(re.compile(r"^Read your message · [\d.,]+ words/s$"))
    signature.focus()
    page.keyboard.press("Enter")
    report, close = page.locator(".report"), page.get_by_role("link", name="Close")
    expect(report.locator(".tokens span")).to_have_text(["Hello", " there"])
    expect(report).to_contain_text("2 of 2,000 tokens")
    expect(report.locator(".report-headline")).to_have_text("The model saw everything")
    expect(report.get_by_text("has no memory")).to_be_hidden()
    expect(close).to_be_focused()
    # Beside the conversation, which stays readable.
    text, sheet = page.locator(".prose").bounding_box(), page.locator("#report-panel").bounding_box()
    assert text
    assert sheet
    assert text["x"] + text["width"] <= sheet["x"]
    # Somebody who comes back to the tab finds it as they left it.
    with page.expect_response(lambda response: "parent=" in response.url):
        page.wait_for_timeout(1100)
        page.evaluate("window.dispatchEvent(new Event('focus'))")
    expect(report).to_be_visible()
    page.keyboard.press("Escape")
    expect(report).to_be_hidden()
    expect(signature).to_be_focused()
    page.keyboard.press("Enter")
    expect(report).to_be_visible()
    close.click()
    expect(signature).to_be_focused()


def test_escape_in_a_report_stops_no_answer(new_visitor: Callable[..., BrowserVisitor], writer: Writer) -> None:
    page = new_visitor(writer.site).open_tab()
    send_question(page, "First")
    writer.begin()
    writer.write("Something", done=True)
    expect(page.locator(".signature")).to_be_visible()
    send_question(page, "Second")
    writer.begin()
    writer.write("Half of")
    expect(page.locator(".prose").last).to_contain_text("Half of")
    changed: list[str] = []
    page.on("request", lambda request: changed.append(request.url) if request.method != "GET" else None)
    page.locator(".signature").first.click()
    expect(page.get_by_role("link", name="Close")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator(".report")).to_be_hidden()
    writer.write(" it, and the rest.", done=True)
    expect(page.locator(".prose").last).to_have_text("Half of it, and the rest.")
    assert not [url for url in changed if "_method=DELETE" in url]


def test_context_boundary_moves_while_typing(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    ask_and_wait(page, LONG)
    cut, messages = page.locator("#context-boundary"), page.locator("#thread article")
    expect(page.locator("#context-meter")).to_contain_text("of 2,000 tokens")
    expect(cut).to_have_count(0)
    box = page.get_by_role("textbox", name="Message")
    box.fill("word " * 300)
    expect(cut).to_have_count(1)
    assert page.evaluate("document.querySelector('#context-boundary').nextElementSibling") is not None
    box.fill("word")
    expect(cut).to_have_count(0)
    ask_and_wait(page, "/say " + "word " * 200)
    expect(cut).to_have_count(1)
    expect(messages).to_have_count(4)
    following = page.evaluate("document.querySelector('#context-boundary').nextElementSibling.id")
    page.reload()
    expect(cut).to_have_count(1)
    assert page.evaluate("document.querySelector('#context-boundary').nextElementSibling.id") == following


def test_prompt_report_is_page_without_javascript(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor(java_script_enabled=False, viewport={"width": 390, "height": 780}).open_tab()
    page.get_by_role("textbox", name="Message").fill("/say Plain answer")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("Plain answer", exact=True)).to_be_visible()
    expect(page.locator("#context-meter")).to_contain_text("of 2,000 tokens")
    page.locator(".signature").click()
    expect(page.get_by_role("heading", name=SAW)).to_be_visible()
    expect(page.get_by_text("The model saw everything")).to_be_in_viewport()
    page.get_by_text("How does this work?").click()
    expect(page.get_by_text("has no memory")).to_be_in_viewport()
    expect(page.locator(".tokens span")).to_have_text(["/say", " Plain", " answer"])
    page.get_by_role("link", name="Back to the chat").click()
    expect(page.get_by_text("Plain answer", exact=True)).to_be_visible()
