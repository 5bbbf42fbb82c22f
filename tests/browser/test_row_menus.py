"""The menu of a row opens where all of it can be seen and reached, also that of the last row of a long list."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from benchmarks.support import seed_data
from tests.browser.conftest import BrowserVisitor
from tests.support.served_site import ServedSite

pytestmark = pytest.mark.browser

COUNT = 33
INSIDE_SCRIPT = """(element) => {
  const { left, top, right, bottom } = element.getBoundingClientRect();
  return left >= 0 && top >= 0 && right <= innerWidth && bottom <= innerHeight;
}"""


@pytest.fixture(scope="module")
def stored_visitor(site: ServedSite) -> Iterator[seed_data.StoredVisitor]:
    """Somebody with more conversations than the list loads at once."""
    with seed_data.open_app(site.instance):
        yield seed_data.create_visitor(COUNT, 1)


def open_list(page: Page) -> None:
    """Show the list, where it is in a drawer."""
    if not page.locator("#sidebar").is_visible():
        page.locator(".topbar .menu").click()


@pytest.mark.parametrize("size", [(1280, 720), (390, 844), (320, 480), (640, 320)])
def test_menu_of_every_row_is_within_the_window(
    new_visitor: Callable[..., BrowserVisitor],
    site: ServedSite,
    stored_visitor: seed_data.StoredVisitor,
    size: tuple[int, int],
) -> None:
    visitor = new_visitor(viewport={"width": size[0], "height": size[1]})
    visitor.context.add_cookies([{"name": site.user_cookie, "value": stored_visitor.token, "url": site.url}])
    page = visitor.open_tab()
    open_list(page)
    rows, menu = page.locator("#conversations .row"), page.locator("#row-menu")
    expect(rows).to_have_count(30)
    page.locator("#load-more-rows").scroll_into_view_if_needed()
    expect(rows).to_have_count(COUNT)
    for row in (rows.last, rows.first):
        row.scroll_into_view_if_needed()
        row.hover()
        row.locator(".row-action").click()
        actions = menu.locator(".action")
        expect(actions.first).to_be_focused()
        assert menu.evaluate(INSIDE_SCRIPT), size
        # The last line can be chosen, if need be after the menu was scrolled.
        actions.last.scroll_into_view_if_needed()
        assert actions.last.evaluate(INSIDE_SCRIPT), size
        page.keyboard.press("Escape")
        expect(menu).to_be_hidden()
        # On a phone the drawer is still there.
        expect(row).to_be_visible()
