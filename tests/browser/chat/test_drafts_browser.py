"""The story of what is typed and not sent: it is there again after a reload, elsewhere, and until it is sent."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, Request, expect

from tests.browser.conftest import BrowserVisitor, ask_and_wait, send_question

pytestmark = pytest.mark.browser

TEXT = " ".join(["word"] * 700)


def box(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Message")


def test_draft_survives_navigation_until_sent(new_visitor: Callable[..., BrowserVisitor]) -> None:
    guest = new_visitor()
    page = guest.open_tab()
    ask_and_wait(page, "/say Hello")
    path = page.url.removeprefix(guest.site.url)
    asked: list[str] = []

    def note(request: Request) -> None:
        if request.url.endswith("/draft"):
            asked.append(request.method)

    page.on("request", note)
    with page.expect_response("**/draft") as saved:
        box(page).press_sequentially("/say Half", delay=20)
    assert saved.value.ok
    assert asked == ["PUT"], "not one for each key"
    # What was typed in the last moment is saved as the page is left.
    box(page).press_sequentially(" a question")
    page.goto("/")
    expect(box(page)).to_have_value("")
    other = guest.open_tab(path)
    expect(box(other)).to_have_value("/say Half a question")

    # A page that typed nothing erases nothing, and a question that is sent takes its draft along.
    page.goto(path)
    expect(box(page)).to_have_value("/say Half a question")
    page.goto("/")
    other.reload()
    expect(box(other)).to_have_value("/say Half a question")
    other.get_by_role("button", name="Send").click()
    expect(other.locator(".prose").last).to_have_text("Half a question")
    expect(box(other)).to_have_value("")
    other.reload()
    expect(box(other)).to_have_value("")


def test_text_typed_during_generation_is_kept(new_visitor: Callable[..., BrowserVisitor]) -> None:
    guest = new_visitor()
    page = guest.open_tab()
    ask_and_wait(page, "/say Hello")
    send_question(page, f"/slow {TEXT}")
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    with page.expect_response("**/draft"):
        box(page).fill("The next one")
    page.reload()
    expect(box(page)).to_have_value("The next one")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    expect(box(page)).to_have_value("The next one")


def test_draft_is_shown_without_javascript(new_visitor: Callable[..., BrowserVisitor]) -> None:
    guest = new_visitor(java_script_enabled=False)
    page = guest.open_tab()
    box(page).fill("/say Hello")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".prose")).to_have_text("Hello")
    expect(box(page)).to_have_value("")
    token = page.locator("#composer [name=csrf_token]").input_value()
    address = page.url.rstrip("/") + "/draft"
    saved = guest.context.request.put(address, form={"csrf_token": token, "text": "From elsewhere"})
    assert saved.ok
    page.reload()
    expect(box(page)).to_have_value("From elsewhere")
