"""A temporary chat, with JavaScript and without it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect
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
