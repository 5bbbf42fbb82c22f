"""A text that is too long stays in the box, and says how long it is and why it is not sent."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.chat.test_composer import LINES
from tests.browser.conftest import BrowserVisitor, ask_and_wait
from tests.browser.writer import Writer

pytestmark = pytest.mark.browser


def box(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Message")


def test_too_long_text_is_kept_with_length_warning(new_visitor: Callable[..., BrowserVisitor]) -> None:
    guest = new_visitor(refused=True)
    guest.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = guest.open_tab()
    ask_and_wait(page, "/say Hello")
    page.evaluate("text => navigator.clipboard.writeText(text)", LINES)
    page.keyboard.press("Control+V")
    expect(box(page)).to_have_value(LINES)
    told = page.locator("#length")
    expect(told).to_contain_text(f"Too long: {len(LINES):,} of 4,000 characters.")
    expect(told).to_contain_text("too long to be saved")
    # Of a little less the site keeps all.
    box(page).fill("x" * 4100)
    expect(told).to_have_text("Too long: 4,100 of 4,000 characters.")
    page.reload()
    expect(box(page)).to_have_value("x" * 4100)
    expect(told).to_have_text("Too long: 4,100 of 4,000 characters.")
    assert box(page).evaluate("(text) => text.offsetHeight") <= 0.4 * 720 + 1
    box(page).fill("Short")
    expect(told).to_have_text("")


@pytest.mark.parametrize(
    ("locale", "reason"),
    [
        ("en-GB", "Too long: 4,001 of 4,000 characters."),
        ("es-ES", "Demasiado largo: 4.001 de 4.000 caracteres."),
    ],
)
def test_send_says_why_it_does_not_send_a_text_that_is_too_long(
    writer: Writer, new_visitor: Callable[..., BrowserVisitor], locale: str, reason: str
) -> None:
    page = new_visitor(at=writer.site, locale=locale).open_tab()
    text, send = page.locator("#text"), page.locator(".send:not(.stop)")
    posted: list[str] = []
    page.on("request", lambda request: posted.append(request.url) if request.url.endswith("/messages") else None)
    text.fill("x" * 4001)
    expect(send).to_have_attribute("aria-disabled", "true")
    expect(send).to_have_accessible_description(reason)
    text.press("Enter")
    send.focus()
    page.keyboard.press("Enter")
    # Where it can be shortened.
    expect(text).to_be_focused()
    expect(text).to_have_value("x" * 4001)
    assert posted == []
    # Lines around a text are not stored with it, so they do not count; nor do letters that take two places.
    text.fill("\n" + "x" * 3999 + "\U0001f600\n\n")
    expect(send).to_have_attribute("aria-disabled", "false")
    expect(send).to_have_accessible_description("")
    text.press("Enter")
    expect(page.locator(".question")).to_contain_text("\U0001f600")
    # The button is another one while an answer is written, and once it is done.
    writer.begin()
    text.fill("x" * 4001)
    expect(send).to_have_attribute("aria-disabled", "true")
    writer.write("Done.", done=True)
    expect(page.locator(".stop")).to_have_count(0)
    expect(send).to_have_attribute("aria-disabled", "true")
    expect(text).to_have_value("x" * 4001)


@pytest.mark.parametrize("path", ["in place", "on a page of its own"])
def test_edited_question_is_counted_as_a_message_is(new_visitor: Callable[..., BrowserVisitor], path: str) -> None:
    page = new_visitor().open_tab()
    ask_and_wait(page, "/say One")
    link = page.get_by_role("link", name="Edit this question")
    link.click() if path == "in place" else page.goto(link.get_attribute("href") or "")
    text = page.get_by_role("textbox", name="Edit question")
    send = page.locator(".edit").get_by_role("button", name="Send")
    posted: list[str] = []
    page.on("request", lambda request: posted.append(request.url) if request.method == "POST" else None)
    text.fill("x" * 4001)
    expect(send).to_have_attribute("aria-disabled", "true")
    expect(send).to_have_accessible_description("Too long: 4,001 of 4,000 characters.")
    expect(page.locator(".edit .length")).to_be_visible()
    send.press("Enter")
    expect(text).to_be_focused()
    text.press("Enter")
    expect(text).to_have_value("x" * 4001)
    assert posted == []
    # The message box is another text.
    if path == "in place":
        expect(page.locator("#length")).to_have_text("")
        expect(page.locator("#composer .send")).not_to_have_attribute("aria-disabled", "true")
    text.fill("/say Two")
    expect(send).to_have_attribute("aria-disabled", "false")
    text.press("Enter")
    expect(page.locator(".prose")).to_have_text("Two")


def test_edit_box_grows_where_style_sheets_cannot_tell_it_to(new_visitor: Callable[..., BrowserVisitor]) -> None:
    guest = new_visitor()
    guest.context.add_init_script("CSS.supports = () => false")
    page = guest.open_tab()
    ask_and_wait(page, "/say One")
    page.get_by_role("link", name="Edit this question").click()
    text = page.get_by_role("textbox", name="Edit question")
    text.evaluate("(text) => text.style.fieldSizing = 'fixed'")
    height = text.evaluate("(text) => text.offsetHeight")
    for _ in range(5):
        text.press("Shift+Enter")
    assert text.evaluate("(text) => text.offsetHeight") > height + 60
    assert text.evaluate("(text) => text.scrollHeight - text.clientHeight") <= 2
    text.fill("Short")
    assert text.evaluate("(text) => text.offsetHeight") <= height + 2
