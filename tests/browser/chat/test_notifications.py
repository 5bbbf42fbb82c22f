"""Whoever went elsewhere during a long answer is told that it is done, if that is wanted, which is asked once."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import update

from chatsite.database import db, utcnow
from chatsite.models import Generation
from tests.browser.chat.test_tabs import HIDE
from tests.browser.conftest import BrowserVisitor, open_new_conversation, send_question, wait_for_script
from tests.browser.writer import Writer

pytestmark = pytest.mark.browser

# What the system shows, which is nowhere to be seen here.
NOTIFICATION_SCRIPT = """([permission, isPhone]) => {
  window.shown = [];
  window.Notification = class {
    static permission = permission;
    static requestPermission() {
      Notification.permission = "granted";
      return Promise.resolve("granted");
    }
    constructor(title, options) {
      if (isPhone) throw new TypeError("Illegal constructor");
      if (Notification.permission !== "granted") throw new Error("not allowed");
      window.shown.push([title, options.body]);
      window.latest = this;
    }
    close() { this.isClosed = true; }
  };
  ServiceWorkerRegistration.prototype.showNotification = async (title, { body, data }) => {
    window.shown.push([title, body, data]);
  };
}"""
# A tap on what the service worker shows.
TAP_SCRIPT = """(address) => {
  const done = [];
  clients.openWindow = (url) => done.push(url);
  const notification = { data: address, close: () => done.push("closed") };
  dispatchEvent(Object.assign(new Event("notificationclick"), { notification }));
  return done;
}"""


def open_tab(guest: BrowserVisitor, permission: str = "default", is_phone: bool = False) -> Page:
    """Open the front page in a browser whose notifications can be read, made as on phones by a service worker alone."""
    guest.context.add_init_script(f"({NOTIFICATION_SCRIPT})({json.dumps([permission, is_phone])})")
    return guest.open_tab()


def begin_answer(page: Page, writer: Writer, question: str, seconds: int) -> None:
    """Ask, and have the answer begin as if the question had been asked some seconds ago."""
    send_question(page, question)
    writer.begin()
    writer.write("Once")
    expect(page.locator(".prose").last).to_contain_text("Once")
    assert writer.claim
    with writer.app.app_context():
        mine = update(Generation).where(Generation.id == writer.claim.generation_id)
        db.session.execute(mine.values(created_at=utcnow() - timedelta(seconds=seconds)))
        db.session.commit()
        db.session.remove()


def finish_in_background(page: Page, writer: Writer, question: str, seconds: int) -> None:
    """Have an answer take some seconds and end in a tab that nobody looks at; wait until the list says so."""
    begin_answer(page, writer, question, seconds)
    page.evaluate(HIDE, True)
    writer.write(" upon a time.", done=True)
    expect(page).to_have_title(f"(1) {question} · chatsite")
    wait_for_script(page, "notification")


def come_back(page: Page, answers: int) -> None:
    """Look at the tab again, and wait until it has the answer."""
    page.wait_for_timeout(1100)
    page.evaluate(HIDE, False)
    expect(page.locator("[aria-busy=true]")).to_have_count(0)
    expect(page.locator(".prose")).to_have_count(answers)
    expect(page.get_by_role("img", name="New answer")).to_have_count(0)


def test_offer_is_made_once_and_then_kept(new_visitor: Callable[..., BrowserVisitor], writer: Writer) -> None:
    guest = new_visitor(writer.site)
    page = open_tab(guest)
    offer = page.locator(".permission")
    # A short answer is no reason to ask.
    finish_in_background(page, writer, "Short story", 5)
    come_back(page, 1)
    expect(offer).to_have_count(0)
    open_new_conversation(page)
    finish_in_background(page, writer, "Long story", 60)
    expect(offer).to_have_count(0)
    with page.expect_response("**/preferences"):
        come_back(page, 1)
    expect(offer).to_contain_text("The browser can tell you when the next long one is done.")
    # It takes no focus from whoever comes back to type.
    assert not offer.evaluate("(offer) => offer.contains(document.activeElement)")
    assert page.evaluate("shown") == []
    with page.expect_response("**/preferences"):
        offer.get_by_role("button", name="Tell me").click()
    expect(offer).to_have_count(0)
    assert page.evaluate("Notification.permission") == "granted"

    open_new_conversation(page)
    finish_in_background(page, writer, "Next story", 60)
    page.wait_for_function("() => shown.length")
    assert page.evaluate("shown") == [["Next story", "New answer"]]
    # The list asks on, and nothing is told twice; a click leads to the answer.
    page.evaluate("htmx.trigger(document.body, 'chat:list-changed')")
    page.evaluate(HIDE, False)
    open_new_conversation(page)
    page.evaluate("latest.onclick()")
    expect(page.get_by_role("heading", level=1)).to_have_text("Next story")
    expect(page.locator(".prose")).to_have_text("Once upon a time.")
    assert page.evaluate("latest.isClosed")
    assert page.evaluate("shown.length") == 1

    # Off again, on the settings page.
    page.goto(f"{guest.site.url}/settings")
    expect(page.get_by_role("radio", name="When a long answer is done")).to_be_checked()
    with page.expect_response("**/preferences"):
        page.get_by_role("radio", name="Never").check()
    page.goto(guest.site.url)
    page.evaluate("Notification.permission = 'granted'")
    finish_in_background(page, writer, "Last story", 60)
    come_back(page, 1)
    assert page.evaluate("shown") == []
    expect(offer).to_have_count(0)


def test_offer_that_is_left_alone_is_not_made_again(new_visitor: Callable[..., BrowserVisitor], writer: Writer) -> None:
    page = open_tab(new_visitor(writer.site))
    finish_in_background(page, writer, "First story", 60)
    with page.expect_response("**/preferences"):
        come_back(page, 1)
    expect(page.locator(".permission")).to_be_visible()
    open_new_conversation(page)
    finish_in_background(page, writer, "Second story", 60)
    come_back(page, 1)
    expect(page.locator(".permission")).to_have_count(0)
    page.reload()
    open_new_conversation(page)
    finish_in_background(page, writer, "Third story", 60)
    come_back(page, 1)
    expect(page.locator(".permission")).to_have_count(0)


def test_browsers_that_refuse_are_not_asked(new_visitor: Callable[..., BrowserVisitor], writer: Writer) -> None:
    page = open_tab(new_visitor(writer.site), "denied")
    finish_in_background(page, writer, "Long story", 60)
    come_back(page, 1)
    expect(page.locator(".permission")).to_have_count(0)
    assert page.evaluate("shown") == []


def test_answers_that_were_there_before_are_no_news(new_visitor: Callable[..., BrowserVisitor], writer: Writer) -> None:
    guest = new_visitor(writer.site)
    page = open_tab(guest, "granted")
    page.goto(f"{guest.site.url}/settings")
    with page.expect_response("**/preferences"):
        page.get_by_role("radio", name="When a long answer is done").check()
    page.goto(guest.site.url)
    # It ends while one looks at another conversation, and only then the tab is left.
    begin_answer(page, writer, "First story", 60)
    open_new_conversation(page)
    writer.write(" upon a time.", done=True)
    mark = page.locator(".row-unread")
    expect(mark).to_have_count(1)
    page.evaluate(HIDE, True)
    wait_for_script(page, "notification")
    with page.expect_response("**/conversations*"):
        page.evaluate("htmx.trigger(document.body, 'chat:list-changed')")
    page.evaluate(HIDE, False)
    begin_answer(page, writer, "Second story", 60)
    page.evaluate(HIDE, True)
    writer.write(" upon a time.", done=True)
    expect(mark).to_have_count(2)
    page.wait_for_function("() => shown.length")
    assert page.evaluate("shown") == [["Second story", "New answer"]]


def test_phone_is_told_by_its_service_worker(new_visitor: Callable[..., BrowserVisitor], writer: Writer) -> None:
    guest = new_visitor(writer.site)
    page = open_tab(guest, "granted", is_phone=True)
    page.goto(f"{guest.site.url}/settings")
    with page.expect_response("**/preferences"):
        page.get_by_role("radio", name="When a long answer is done").check()
    page.goto(guest.site.url)
    finish_in_background(page, writer, "Long story", 60)
    page.wait_for_function("() => shown.length")
    assert page.evaluate("shown") == [["Long story", "New answer", page.url]]
    assert guest.context.service_workers[0].evaluate(TAP_SCRIPT, page.url) == ["closed", page.url]
