"""The rows under answers that are not the latest: what they lack is in their menu, and comes when it is used."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import BrowserVisitor, ask_and_wait

pytestmark = pytest.mark.browser


def test_older_answer_is_rated_and_regenerated_from_its_menu(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    for text in ("/say One", "/say Two"):
        ask_and_wait(page, text)
    page.reload()
    older, menu = page.locator("article.message-assistant").first, page.locator("#answer-menu")
    thumb = older.get_by_role("button", name="Good answer")
    expect(thumb).to_have_count(0)
    older.hover()
    older.get_by_role("link", name="More", exact=True).click()
    menu.get_by_role("button", name="Good answer").click()
    expect(menu).to_be_hidden()
    # The thumbs come to where they stand under the latest answer, and ask why as they do there.
    expect(thumb).to_have_attribute("aria-pressed", "true")
    expect(thumb).to_be_focused()
    expect(older.get_by_role("button", name="Bad answer")).to_have_count(1)
    older.get_by_role("textbox", name="Add a note").fill("Short")
    page.keyboard.press("Enter")
    expect(page.locator("#announcer")).to_have_text("Note saved.")
    expect(older.get_by_role("textbox")).to_have_count(0)
    page.keyboard.press("Escape")
    thumb.click()
    expect(thumb).to_have_attribute("aria-pressed", "false")
    expect(page.locator(".rating")).to_have_count(2)
    older.get_by_role("link", name="More", exact=True).click()
    menu.get_by_role("link", name="Regenerate with…").click()
    expect(menu.get_by_role("button", name="More creative")).to_be_visible()


@pytest.mark.parametrize("locale", ["en-GB", "es-ES"])
@pytest.mark.parametrize("width", [320, 390])
def test_row_under_versions_breaks_between_what_is_done_and_what_is_said(
    new_visitor: Callable[..., BrowserVisitor], width: int, locale: str
) -> None:
    page = new_visitor(
        locale=locale, viewport={"width": width, "height": 780}, has_touch=True, is_mobile=True
    ).open_tab()
    page.locator("#text").fill("/say One")
    page.locator(".send").tap()
    expect(page.locator(".prose")).to_have_text("One")
    page.locator(".regenerate-button").tap()
    expect(page.locator(".message-assistant .versions")).to_contain_text("2/2")
    expect(page.locator("[aria-busy=true]")).to_have_count(0)
    for parts in (".tool", ".versions > *"):
        controls = page.locator(f".message-assistant > footer {parts}").locator("visible=true")
        assert controls.count() >= 4
        boxes = controls.evaluate_all("(all) => all.map((each) => each.getBoundingClientRect().toJSON())")
        assert len({round(box["top"] + box["bottom"]) // 2 for box in boxes}) == 1, parts
    right = page.locator(".message-assistant > footer").evaluate("(row) => row.scrollWidth - row.clientWidth")
    assert right == 0
