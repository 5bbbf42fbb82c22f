"""Where the site cannot be reached a page says so, and what was typed is in the box again when it is back."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import BrowserVisitor, ask_and_wait
from tests.support.served_site import wait_until

pytestmark = pytest.mark.browser

READY = "navigator.serviceWorker.ready.then((found) => found.active.state)"
OFFLINE = "caches.match('/offline').then((found) => found?.text() ?? '')"
KEPT = """
async () => {
  const found = [];
  for (const name of await caches.keys())
    for (const { url } of await (await caches.open(name)).keys()) found.push(new URL(url).pathname);
  return found;
}
"""


def _expect_in_the_tab(page: Page, text: str, kept: bool) -> None:
    """Wait until a text is, or is not, among what the tab keeps for itself."""
    wait_until(lambda: (text in page.evaluate("sessionStorage.typed ?? ''")) is kept, what="Keeping the text")


def test_offline_page_is_shown_and_typed_text_restored(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor(refused=True).open_tab()
    ask_and_wait(page, "/say A secret")
    page.evaluate(READY)
    page.context.set_offline(True)
    page.get_by_role("textbox", name="Message").fill("Words that nobody has")
    _expect_in_the_tab(page, "Words that nobody has", True)
    page.reload()
    expect(page.get_by_role("heading", name="You're offline, or the server isn't running")).to_be_visible()
    expect(page.get_by_text("Your draft is safe")).to_be_visible()
    assert "secret" not in page.content()
    page.get_by_role("link", name="Try again").click()
    expect(page.get_by_role("heading", name="You're offline, or the server isn't running")).to_be_visible()
    page.context.set_offline(False)
    # It tries by itself.
    expect(page.get_by_role("textbox", name="Message")).to_have_value("Words that nobody has")
    expect(page.get_by_text("A secret").last).to_be_visible()
    # Once the site has it, the tab lets go of it.
    _expect_in_the_tab(page, "Words that nobody has", False)


def test_undelivered_message_is_restored(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor(refused=True).open_tab()
    page.evaluate(READY)
    page.context.set_offline(True)
    page.get_by_role("textbox", name="Message").fill("A question")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("Your text is kept")).to_be_visible()
    page.context.set_offline(False)
    page.reload()
    expect(page.get_by_role("textbox", name="Message")).to_have_value("A question")
    page.get_by_role("button", name="Send").click()
    expect(page).to_have_url(re.compile("/conversations/"))
    # What was sent from the front page does not stand there once more.
    page.goto("/")
    expect(page.get_by_role("textbox", name="Message")).to_have_value("")


def test_offline_page_uses_last_language(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor(refused=True).open_tab()
    page.evaluate(READY)
    _expect_kept_in(page, "en")
    page.context.add_cookies([{"name": "chatsite_language", "value": "es", "url": page.url}])
    page.goto(page.url)
    _expect_kept_in(page, "es")
    page.context.set_offline(True)
    page.goto(page.url)
    expect(page.get_by_role("link", name="Reintentar")).to_be_visible()
    expect(page.locator("html")).to_have_attribute("lang", "es")


def _expect_kept_in(page: Page, language: str) -> None:
    """Wait until the page that is kept is in a language."""
    wait_until(lambda: f'lang="{language}"' in page.evaluate(OFFLINE), what="Keeping the page")


def test_service_worker_caches_no_conversation(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    page.evaluate(READY)
    ask_and_wait(page, "/say A secret")
    page.reload()
    expect(page.get_by_text("A secret").last).to_be_visible()
    assert page.evaluate(KEPT) == ["/offline"]
