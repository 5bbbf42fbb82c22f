"""Going from page to page: the column is exchanged, and everything is as after a navigation."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.chat.test_tabs import HIDE
from tests.browser.conftest import BrowserVisitor, ask_and_wait, choose_action, open_new_conversation, send_question
from tests.browser.writer import Writer
from tests.support.served_site import wait_until

pytestmark = pytest.mark.browser


def row(page: Page, title: str) -> None:
    """Choose a conversation in the list."""
    page.locator("#conversations").get_by_role("link", name=title, exact=True).click()


def mark_document(page: Page) -> None:
    """Leave a mark in the document, which a navigation would take away."""
    page.evaluate("document.documentElement.dataset.kept = 'yes'")


def is_same_document(page: Page) -> bool:
    """Whether the mark is still there."""
    return page.evaluate("document.documentElement.dataset.kept") == "yes"


def current_links(page: Page) -> list[str]:
    """What the list marks as open."""
    return [text.strip() for text in page.locator("#sidebar [aria-current]").all_inner_texts()]


def test_links_exchange_the_column(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    ask_and_wait(page, "/say First")
    # One row is marked once the conversation has begun.
    assert current_links(page) == ["/say First"]
    mark_document(page)
    page.locator("#sidebar").get_by_role("link", name="New chat").click()
    expect(page).to_have_title("New chat · chatsite")
    expect(page.get_by_role("heading", level=1)).to_have_text("New chat")
    assert current_links(page) == ["New chat"]
    expect(page.locator("#announcer")).to_have_text("New chat")
    ask_and_wait(page, "/long 60")
    row(page, "/say First")
    expect(page.locator(".prose")).to_have_text("First")
    expect(page).to_have_title("/say First · chatsite")
    assert current_links(page) == ["/say First"]
    expect(page.get_by_role("textbox", name="Message")).to_be_focused()
    expect(page.locator("#announcer")).to_have_text("/say First")
    for link, heading in (("Overview", "Overview"), ("All chats", "All chats")):
        page.locator("main" if link != "Overview" else "#sidebar").get_by_role(
            "link", name=re.compile(f"^{link}")
        ).click()
        expect(page.get_by_role("heading", level=1)).to_have_text(heading)
        expect(page.get_by_role("heading", level=1)).to_be_focused()
    expect(page.locator(".item").first).to_be_visible()
    page.locator("#sidebar").get_by_role("link", name="Settings").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Settings")
    assert is_same_document(page)
    page.go_back()
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    page.go_forward()
    expect(page.get_by_role("heading", level=1)).to_have_text("All chats")
    expect(page).to_have_url(re.compile(r"/conversations$"))
    assert is_same_document(page)
    # By the keyboard, and in a tab of its own.
    page.locator("#conversations").get_by_role("link", name="/say First", exact=True).press("Enter")
    expect(page.locator(".prose")).to_have_text("First")
    with page.context.expect_page() as opened:
        page.locator("#conversations").get_by_role("link", name="/long 60", exact=True).click(modifiers=["Control"])
    expect(opened.value.locator(".question")).to_have_text("/long 60")
    expect(page.locator(".prose")).to_have_text("First")
    assert is_same_document(page)
    page.reload()
    expect(page.locator(".prose")).to_have_text("First")
    assert current_links(page) == ["/say First"]


def test_back_restores_the_place(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    ask_and_wait(page, "/long 400")
    page.locator("#sidebar").get_by_role("link", name="New chat").click()
    expect(page.locator("#welcome")).to_be_visible()
    ask_and_wait(page, "/say Other")
    row(page, "/long 400")
    expect(page.get_by_role("heading", level=1)).to_have_text("/long 400")
    page.evaluate("main.scrollTop = -300")
    row(page, "/say Other")
    expect(page.locator(".prose")).to_have_text("Other")
    page.go_back()
    expect(page.locator(".question")).to_have_text("/long 400")
    page.wait_for_function("() => main.scrollTop === -300")
    page.go_forward()
    expect(page.locator(".prose")).to_have_text("Other")
    page.wait_for_function("() => main.scrollTop === 0")


def test_undo_of_a_deletion_returns_to_the_place(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    ask_and_wait(page, "/long 400")
    page.evaluate("main.scrollTop = -300")
    choose_action(page, "/long 400", "button", "Delete")
    expect(page).to_have_url(re.compile(r"/\?undo="))
    page.get_by_role("button", name="Undo").locator("visible=true").first.click()
    expect(page.locator(".question")).to_have_text("/long 400")
    page.wait_for_function("() => main.scrollTop === -300")


def test_streams_of_left_conversations_end(new_visitor: Callable[..., BrowserVisitor], writer: Writer) -> None:
    page = new_visitor(writer.site).open_tab()
    open_streams: set[str] = set()
    page.on("request", lambda request: open_streams.add(request.url) if request.url.count("/stream") else None)
    for event in ("requestfinished", "requestfailed"):
        page.on(event, lambda request: open_streams.discard(request.url))
    send_question(page, "Long story")
    writer.begin()
    writer.write("Once upon a time")
    expect(page.locator(".prose")).to_contain_text("Once")
    page.locator("#sidebar").get_by_role("link", name="New chat").click()
    expect(page.locator("#welcome")).to_be_visible()
    for _ in range(3):
        row(page, "Long story")
        expect(page.locator(".prose")).to_contain_text("Once")
        page.locator("#sidebar").get_by_role("link", name="New chat").click()
        expect(page.locator("#welcome")).to_be_visible()
    for _ in range(100):
        if open_streams:
            page.wait_for_timeout(50)
    assert open_streams == set()
    row(page, "Long story")
    writer.write(" there was an end.", done=True)
    expect(page.locator(".prose")).to_have_text("Once upon a time there was an end.")
    expect(page.get_by_role("button", name="Send")).to_be_visible()


def test_text_is_there_before_its_draft_is_saved(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    ask_and_wait(page, "/say First")
    held: list[Route] = []
    page.route("**/draft", lambda route: held.append(route))
    page.get_by_role("textbox", name="Message").fill("Half a thought")
    open_new_conversation(page)
    expect(page.get_by_role("textbox", name="Message")).to_have_value("")
    row(page, "/say First")
    expect(page.locator(".prose")).to_have_text("First")
    expect(page.get_by_role("textbox", name="Message")).to_have_value("Half a thought")
    for route in held:
        route.continue_()
    page.unroute("**/draft")
    # What was saved and then sent is gone for good.
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".question")).to_have_count(2)
    open_new_conversation(page)
    row(page, "/say First")
    expect(page.locator(".question")).to_have_count(2)
    expect(page.get_by_role("textbox", name="Message")).to_have_value("")


def test_nothing_is_lost_by_leaving(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    ask_and_wait(page, "/say First")
    page.get_by_role("textbox", name="Message").fill("Half a thought")
    page.locator("#sidebar").get_by_role("link", name="New chat").click()
    expect(page.get_by_role("textbox", name="Message")).to_have_value("")
    # What is being sent arrives, though its page is gone.
    held: list[Route] = []
    page.route("**/messages", lambda route: held.append(route))
    send_question(page, "/say Sent and left")
    row(page, "/say First")
    expect(page.locator(".prose")).to_have_text("First")
    held[0].continue_()
    expect(page.get_by_role("textbox", name="Message")).to_have_value("Half a thought")
    row(page, "/say Sent and left")
    expect(page.locator(".prose")).to_have_text("Sent and left")
    expect(page.get_by_role("textbox", name="Message")).to_have_value("")


def test_other_versions_and_failures_load_the_page(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor(refused=True).open_tab()
    ask_and_wait(page, "/say First")
    # A page of an older version is not mixed with a newer one.
    mark_document(page)
    page.evaluate("document.body.dataset.version = 'old'")
    page.locator("#sidebar").get_by_role("link", name="Overview").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    assert not is_same_document(page)
    mark_document(page)
    address = page.locator("#conversations .row-title").get_attribute("href")
    page.evaluate("(address) => document.querySelector('#conversations .row-title').href = address", f"{address}x")
    page.locator("#conversations .row-title").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("This chat does not exist or was deleted.")
    assert is_same_document(page)
    expect(page.locator("#conversations")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    page.evaluate("() => navigator.serviceWorker.ready.then(() => true)")
    page.context.set_offline(True)
    page.locator("#sidebar").get_by_role("link", name="Settings").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("offline|connect", re.IGNORECASE))


def test_drawer_closes_after_navigation(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor(viewport={"width": 390, "height": 720}).open_tab()
    ask_and_wait(page, "/say First")
    page.get_by_role("button", name="Chats", exact=True).click()
    page.locator("#sidebar").get_by_role("link", name="Overview").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    expect(page.locator("#sidebar")).to_be_hidden()


def test_rows_tell_what_is_written_and_new(new_visitor: Callable[..., BrowserVisitor], writer: Writer) -> None:
    guest = new_visitor(writer.site)
    page = guest.open_tab()
    send_question(page, "Long story")
    writer.begin()
    writer.write("Once")
    expect(page.locator(".prose")).to_contain_text("Once")
    address = page.url.removeprefix(guest.site.url)
    page.locator("#sidebar").get_by_role("link", name="New chat").click()
    expect(page.get_by_role("img", name="Answering…")).to_be_visible()
    other = guest.open_tab("/overview")
    expect(other.get_by_role("img", name="Answering…")).to_be_visible()
    writer.write(" upon a time.", done=True)
    for tab in (page, other):
        expect(tab.get_by_role("img", name="New answer")).to_be_visible()
        expect(tab.get_by_role("img", name="Answering…")).to_have_count(0)
    page.reload()
    expect(page.get_by_role("img", name="New answer")).to_be_visible()
    with page.expect_response(re.compile("/read-mark$")):
        row(page, "Long story")
    expect(page.get_by_role("img", name="New answer")).to_have_count(0)
    page.locator("#sidebar").get_by_role("link", name="New chat").click()
    expect(page.locator("#welcome")).to_be_visible()
    other.reload()
    expect(other.get_by_role("link", name="Long story", exact=True)).to_be_visible()
    for tab in (page, other):
        assert tab.locator(".row-mark").count() == 0

    # An answer that ends in a hidden tab is told by its title, until it is looked at.
    page.goto(guest.site.url + address)
    send_question(page, "And then?")
    writer.begin()
    writer.write("The")
    expect(page.locator(".prose").last).to_contain_text("The")
    page.evaluate(HIDE, True)
    writer.write(" end.", done=True)
    expect(page).to_have_title("(1) Long story · chatsite")
    page.wait_for_timeout(1100)
    page.evaluate(HIDE, False)
    expect(page).to_have_title("Long story · chatsite")
    expect(page.locator(".prose").last).to_have_text("The end.")
    wait_until(lambda: not _marks_after_reload(other), seconds=30, what="The answer that was looked at")


def _marks_after_reload(page: Page) -> int:
    """How many rows are marked once the page was loaded again."""
    page.reload()
    expect(page.get_by_role("link", name="Long story", exact=True)).to_be_visible()
    return page.locator(".row-mark").count()
