"""Browsers that lack something, or refuse it: everything else works."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import BrowserVisitor, ask_and_wait

pytestmark = pytest.mark.browser

# What browsers take away where site data is blocked, in frames and in other apps, and where the time zone is hidden.
TAKE_AWAY = """(read) => {
  const take = (owner, name, descriptor = { get: read }) => Object.defineProperty(owner, name, descriptor);
  for (const name of ["sessionStorage", "localStorage", "indexedDB", "caches", "cookieStore"]) take(window, name);
  for (const name of ["serviceWorker", "clipboard"]) take(Navigator.prototype, name);
  take(Document.prototype, "cookie", { get: read, set: read });
  take(Intl, "DateTimeFormat");
  performance.getEntriesByType = () => [];
}"""
WAYS = {"missing": "() => null", "forbidden": "() => { throw new DOMException('no', 'SecurityError') }"}


@pytest.mark.parametrize("way", WAYS)
def test_site_works_without_storage_and_other_features(new_visitor: Callable[..., BrowserVisitor], way: str) -> None:
    visitor = new_visitor()
    visitor.context.add_init_script(f"({TAKE_AWAY})({WAYS[way]})")
    page = visitor.open_tab()
    ask_and_wait(page, "/say Some words\n\n```\ncode\n```")
    page.reload()
    # Keys, the palette, copying, and what runs when a page comes back.
    page.keyboard.press("Control+k")
    expect(page.locator("#palette")).to_be_visible()
    page.keyboard.press("Escape")
    page.locator(".message-assistant .code .copy").click()
    expect(page.locator(".message-assistant .code .copy")).to_have_text("Copied")
    with page.expect_request(lambda request: "parent=" in request.url):
        page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")


def test_error_in_one_script_leaves_the_others_alone(new_visitor: Callable[..., BrowserVisitor]) -> None:
    """Something that nobody thought of throws at the top of a script; the scripts after it still run."""
    visitor = new_visitor()
    visitor.context.add_init_script(
        "const find = document.getElementById; let isFirst = true;"
        "document.getElementById = (...names) => {"
        "  if (isFirst) { isFirst = false; throw new Error('unforeseen'); } return find.apply(document, names); };"
    )
    page = visitor.open_tab()
    page.keyboard.press("Control+k")
    expect(page.locator("#palette")).to_be_visible()
    assert visitor.console_errors.pop() == "unforeseen"
    assert not visitor.console_errors
