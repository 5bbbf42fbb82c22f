"""What a model thinks before it answers: folded, quiet, and as open as its reader left it while it grows."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.accessibility.axe import find_violations
from tests.browser.conftest import BrowserVisitor, send_question
from tests.browser.writer import Writer

pytestmark = pytest.mark.browser

FIRST = "The question is about foxes. A fox is small, <b>red</b> and"
REST = " quick.\n\nSo the answer should name its coat."
ANSWER = "A fox has a **red** coat."
RECORD = """
() => {
  window.said = [];
  const region = document.querySelector("#announcer");
  const changes = {childList: true, characterData: true, subtree: true};
  new MutationObserver(() => said.push(region.textContent.trim())).observe(region, changes);
}
"""


def reasoning_of(page: Page) -> Locator:
    return page.locator("article.message-assistant .reasoning")


def test_reasoning_stays_as_its_reader_left_it(new_visitor: Callable[..., BrowserVisitor], writer: Writer) -> None:
    page = new_visitor(writer.site, reduced_motion="reduce").open_tab()
    page.evaluate(RECORD)
    send_question(page, "What colour is a fox?")
    writer.begin()
    writer.think(FIRST)
    reasoning = reasoning_of(page)
    summary, text = reasoning.locator("summary"), reasoning.locator(".reasoning-text")
    expect(summary).to_contain_text(re.compile(r"Thinking… \d+ s · 15 tokens"))
    expect(text).to_be_hidden()
    # It grows where it is, folded or not, and the summary keeps the focus.
    summary.press("Enter")
    expect(text).to_be_visible()
    writer.think(REST)
    expect(text).to_have_text(FIRST + REST, use_inner_text=True)
    expect(summary).to_be_focused()
    assert find_violations(page) == []
    writer.write(ANSWER[:10])
    expect(summary).to_contain_text("Thought for")
    expect(page.locator("article .prose")).to_contain_text("A fox has")
    writer.write(ANSWER[10:], done=True)
    expect(page.locator("article.message-assistant")).not_to_have_attribute("aria-busy", "true")
    expect(page.locator("article .prose")).to_have_text("A fox has a red coat.")
    expect(text).to_be_visible()
    expect(text).to_have_text(FIRST + REST, use_inner_text=True)
    expect(summary).to_contain_text("· 26 tokens")
    assert find_violations(page) == []
    # What is thought is never spoken: only that, once.
    said = page.evaluate("said")
    assert [sentence for sentence in said if "thinking" in sentence] == ["The model is thinking."]
    assert not any("question is about" in sentence for sentence in said)
    page.reload()
    expect(summary).to_contain_text("Thought for")
    expect(text).to_be_hidden()


def test_page_that_comes_back_has_all_of_it(new_visitor: Callable[..., BrowserVisitor], writer: Writer) -> None:
    page = new_visitor(writer.site).open_tab()
    send_question(page, "What colour is a fox?")
    writer.begin()
    writer.think(FIRST)
    expect(reasoning_of(page)).to_be_visible()
    page.reload()
    reasoning_of(page).locator("summary").click()
    expect(page.locator("[hx-sse\\:connect]")).to_have_count(1)
    writer.think(REST)
    expect(reasoning_of(page).locator(".reasoning-text")).to_have_text(FIRST + REST, use_inner_text=True)
    writer.stop()
    expect(page.get_by_text("You stopped this answer.").first).to_be_attached()
    # What was thought until then stays.
    expect(reasoning_of(page).locator(".reasoning-text")).to_be_visible()
    expect(reasoning_of(page).locator("summary")).to_contain_text("Thought for")


def test_reasoning_is_no_part_of_what_is_copied(new_visitor: Callable[..., BrowserVisitor], writer: Writer) -> None:
    visitor = new_visitor(writer.site, permissions=["clipboard-read", "clipboard-write"])
    page = visitor.open_tab()
    send_question(page, "What colour is a fox?")
    writer.begin()
    writer.think(FIRST)
    writer.write(ANSWER, done=True)
    expect(page.locator("article.message-assistant")).not_to_have_attribute("aria-busy", "true")
    page.get_by_role("button", name="Copy this answer").click()
    page.wait_for_function("async () => (await navigator.clipboard.readText()).includes('coat')")
    assert "question is about" not in page.evaluate("navigator.clipboard.readText()")


@pytest.mark.parametrize("width", [390, 1280])
def test_reasoning_can_be_read_without_javascript(
    new_visitor: Callable[..., BrowserVisitor], writer: Writer, width: int
) -> None:
    visitor = new_visitor(writer.site, locale="es-ES", viewport={"width": width, "height": 844})
    page = visitor.open_tab()
    page.get_by_role("textbox", name="Mensaje").fill("¿De qué color es un zorro?")
    page.get_by_role("button", name="Enviar").click()
    writer.begin()
    writer.think(FIRST + REST)
    expect(reasoning_of(page)).to_contain_text(re.compile(r"Pensando… \d+ s · 26 tokens"))
    writer.write(ANSWER, done=True)
    expect(reasoning_of(page)).to_contain_text("Pensó durante 1 s · 26 tokens")
    address = page.url
    cookies = visitor.context.cookies()
    plain = new_visitor(writer.site, java_script_enabled=False, viewport={"width": width, "height": 844})
    plain.context.add_cookies(cookies)  # type: ignore[arg-type]
    quiet_page = plain.context.new_page()
    quiet_page.goto(address)
    reasoning_of(quiet_page).locator("summary").click()
    expect(reasoning_of(quiet_page).locator(".reasoning-text")).to_have_text(FIRST + REST, use_inner_text=True)
    assert quiet_page.locator("html").evaluate("(root) => root.scrollWidth <= root.clientWidth")
    quiet_page.close()
