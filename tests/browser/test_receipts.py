"""What the model saw, the cut line and the gauge, as a visitor meets them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visitor, ask_and_wait

pytestmark = pytest.mark.browser

# More than half of the words that the script reads at once.
LONG = "/say " + "word " * 780
SAW = "What the model saw"


def test_the_receipt_opens_under_the_answer_and_stays_open(visitor: Callable[..., Visitor]) -> None:
    page = visitor().tab()
    ask_and_wait(page, "Hello there")
    expect(page.locator("#gauge")).to_have_text("57 of 2,000 tokens")
    page.get_by_role("link", name=SAW).focus()
    page.keyboard.press("Enter")
    receipt = page.locator(".receipt")
    expect(receipt.locator(".tokens span")).to_have_text(["Hello", " there"])
    expect(receipt).to_contain_text("2 of 2,000 tokens")
    expect(page.locator(".receipt-box summary")).to_be_focused()
    expect(page.locator(".receipt-box summary")).to_be_in_viewport()
    # Somebody who comes back to the tab finds it as they left it.
    with page.expect_response(lambda response: "after=" in response.url):
        page.wait_for_timeout(1100)
        page.evaluate("window.dispatchEvent(new Event('focus'))")
    expect(receipt).to_be_visible()
    page.keyboard.press("Enter")
    expect(receipt).to_be_hidden()
    page.keyboard.press("Enter")
    expect(receipt).to_be_visible()
    expect(page.locator(".receipt-box summary")).to_be_in_viewport()


def test_the_cut_line_moves_while_one_types(visitor: Callable[..., Visitor]) -> None:
    page = visitor().tab()
    ask_and_wait(page, LONG)
    cut, messages = page.locator("#cut"), page.locator("#thread article")
    expect(page.locator("#gauge")).to_contain_text("of 2,000 tokens")
    expect(cut).to_have_count(0)
    box = page.get_by_role("textbox", name="Message")
    box.fill("word " * 300)
    expect(cut).to_have_count(1)
    assert page.evaluate("document.querySelector('#cut').nextElementSibling") is not None
    box.fill("word")
    expect(cut).to_have_count(0)
    ask_and_wait(page, "/say " + "word " * 200)
    expect(cut).to_have_count(1)
    expect(messages).to_have_count(4)
    following = page.evaluate("document.querySelector('#cut').nextElementSibling.id")
    page.reload()
    expect(cut).to_have_count(1)
    assert page.evaluate("document.querySelector('#cut').nextElementSibling.id") == following


def test_without_javascript_it_is_a_page(visitor: Callable[..., Visitor]) -> None:
    page = visitor(java_script_enabled=False, viewport={"width": 390, "height": 780}).tab()
    page.get_by_role("textbox", name="Message").fill("/say Plain answer")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("Plain answer", exact=True)).to_be_visible()
    expect(page.locator("#gauge")).to_contain_text("of 2,000 tokens")
    page.get_by_role("link", name=SAW).click()
    expect(page.get_by_role("heading", name=SAW)).to_be_visible()
    expect(page.get_by_text("remembers nothing")).to_be_in_viewport()
    expect(page.locator(".tokens span")).to_have_text(["/say", " Plain", " answer"])
    page.get_by_role("link", name="Back to the conversation").click()
    expect(page.get_by_text("Plain answer", exact=True)).to_be_visible()
