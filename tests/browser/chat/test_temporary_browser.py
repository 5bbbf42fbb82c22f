"""A temporary chat, with JavaScript and without it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect
from pysqlite3 import dbapi2 as sqlite

from tests.browser.conftest import BrowserVisitor, ask_and_wait, send_question
from tests.support.served_site import ServedSite, wait_until

pytestmark = pytest.mark.browser

WORDS = "Temporary chat. It is erased"


@pytest.mark.parametrize("scripts", [True, False])
def test_temporary_chat_from_start_to_close(new_visitor: Callable[..., BrowserVisitor], scripts: bool) -> None:
    page = new_visitor(java_script_enabled=scripts, refused=True).open_tab()
    expect(page.get_by_text(WORDS)).to_be_hidden()
    switch = page.get_by_role("checkbox", name="Temporary chat")
    switch.focus()
    page.keyboard.press("Space")
    expect(switch).to_be_checked()
    expect(page.get_by_text(WORDS)).to_be_visible()
    send_question(page, "/say Soon forgotten")
    expect(page.locator(".prose")).to_have_text("Soon forgotten")
    expect(page).to_have_url(re.compile("/conversations/"))
    expect(page.get_by_text(WORDS)).to_be_visible()
    expect(page.get_by_text("Your chats will appear here.")).to_be_visible()
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    page.get_by_role("button", name="Chat menu").click()
    for line in ("Share", "Export", "Archive", "Delete"):
        expect(page.get_by_role("link", name=line, exact=True)).to_have_count(0)
        expect(page.get_by_role("button", name=line, exact=True)).to_have_count(0)
    page.keyboard.press("Escape")

    send_question(page, "/say And this as well")
    expect(page.locator(".prose").last).to_have_text("And this as well")
    address = page.url
    page.reload()
    expect(page.locator(".prose").last).to_have_text("And this as well")
    page.get_by_role("button", name="Erase now").click()
    expect(page).to_have_url(re.compile(r"temporary=1$"))
    expect(page.get_by_role("checkbox", name="Temporary chat")).to_be_checked()
    page.goto(address)
    expect(page.get_by_text("This chat does not exist or was deleted.").first).to_be_visible()


def test_temporary_chat_can_be_kept(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab("/?temporary=1")
    ask_and_wait(page, "/say Worth keeping")
    page.get_by_role("button", name="Save chat").click()
    expect(page.get_by_text(WORDS)).to_have_count(0)
    expect(page.locator("#conversations .row-title")).to_have_text("/say Worth keeping")
    ask_and_wait(page, "/say More of it")


@pytest.mark.parametrize("width", [1280, 390])
def test_leaving_asks_before_it_erases(
    new_visitor: Callable[..., BrowserVisitor], site: ServedSite, width: int
) -> None:
    person = new_visitor(viewport={"width": width, "height": 720})
    page = person.open_tab("/?temporary=1")
    ask_and_wait(page, "/say Between us")
    address = page.url
    question = page.get_by_role("form", name="Leave and erase this chat?")
    leave_by_list(page)
    expect(question.get_by_role("link", name="Erase")).to_be_focused()
    # On a phone the list would lie over it.
    expect(question.get_by_role("link", name="Erase")).to_be_in_viewport()
    expect(page.get_by_text(WORDS)).to_be_hidden()
    page.keyboard.press("Escape")
    expect(question).to_be_hidden()
    expect(page.get_by_text(WORDS)).to_be_visible()
    # The focus is where it was, or in the text if that is gone.
    expect(page.locator("#main" if width == 390 else "#sidebar .entry:focus")).to_be_focused()

    leave_by_list(page)
    question.get_by_role("button", name="Stay").click()
    expect(question).to_be_hidden()
    assert page.url == address
    ask_and_wait(page, "/say More of it")
    assert minutes_left(site, address) > 50

    leave_by_list(page)
    question.get_by_role("link", name="Erase").click()
    expect(page.locator("#welcome")).to_be_visible()
    wait_until(lambda: minutes_left(site, address) < 2, what="That it was left")

    page.goto("/?temporary=1")
    ask_and_wait(page, "/say Worth keeping")
    address = page.url
    leave_by_list(page)
    question.get_by_role("button", name="Save chat").click()
    expect(page.get_by_text(WORDS)).to_have_count(0)
    assert page.url == address
    expect(page.locator("#conversations .row-title")).to_have_text("/say Worth keeping")
    # What is kept is left without a question.
    leave_by_list(page)
    expect(page.locator("#welcome")).to_be_visible()


def leave_by_list(page: Page) -> None:
    """Follow the list's link to a new conversation; on a phone the list is opened before."""
    menu = page.locator(".topbar .menu")
    if menu.is_visible():
        menu.click()
    page.locator("#sidebar .entry").first.click()


def test_presence_follows_page_visibility(new_visitor: Callable[..., BrowserVisitor], site: ServedSite) -> None:
    person = new_visitor()
    page = person.open_tab("/?temporary=1")
    ask_and_wait(page, "/say Who is there")
    address = page.url
    page.goto("/models")
    wait_until(lambda: minutes_left(site, address) < 2, what="That it was left")
    page.go_back()
    expect(page.locator(".prose")).to_have_text("Who is there")
    wait_until(lambda: minutes_left(site, address) > 50, what="That it is back")
    page.close()
    wait_until(lambda: minutes_left(site, address) < 2, what="That its tab was closed")


def minutes_left(site: ServedSite, address: str) -> float:
    """How long the conversation at an address still lasts."""
    connection = sqlite.connect(f"file:{site.instance / 'chatsite.db'}?mode=ro", uri=True)
    try:
        query = "SELECT (julianday(expires_at) - julianday('now')) * 1440 FROM conversation WHERE public_id = ?"
        return float(connection.execute(query, (address.rpartition("/")[2],)).fetchone()[0])
    finally:
        connection.close()
