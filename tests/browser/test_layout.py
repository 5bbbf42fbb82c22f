"""Languages, small screens and keyboards."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import BrowserVisitor, ask_and_wait, choose_action
from tests.support.served_site import wait_until

pytestmark = pytest.mark.browser


def test_spanish_browser_gets_spanish_pages(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor(locale="es-AR", timezone_id="Europe/Madrid").open_tab()
    expect(page.get_by_role("heading", name="¿En qué te ayudo?")).to_be_visible()
    page.get_by_role("textbox", name="Mensaje").fill("/long 900")
    page.keyboard.press("Enter")
    expect(page.locator(".status")).to_contain_text("tokens por segundo")
    page.locator(".signature").click()
    expect(page.locator(".stats")).to_contain_text("Palabras")
    expect(page.locator(".day")).to_have_text("Hoy")
    cookies = {cookie["name"].rpartition("_")[0]: cookie["value"] for cookie in page.context.cookies()}
    assert cookies["chatsite_timezone"] == "Europe/Madrid"
    conversation = page.url
    page.get_by_role("link", name="Ajustes", exact=True).click()
    page.get_by_role("radio", name="English").check()
    expect(page.get_by_role("heading", level=1)).to_have_text("Settings")
    page.goto(conversation)
    expect(page.get_by_role("textbox", name="Message")).to_be_visible()
    expect(page.locator(".day")).to_have_text("Today")


def test_phone_drawer_opens_and_closes(new_visitor: Callable[..., BrowserVisitor]) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    for javascript in (True, False):
        page = new_visitor(java_script_enabled=javascript, **phone).open_tab()
        drawer = page.get_by_role("navigation", name="Chats")
        expect(drawer).to_be_hidden()
        page.get_by_role("button", name="Chats").tap()
        expect(drawer).to_be_visible()
        expect(drawer.get_by_role("link", name="New chat")).to_be_in_viewport()
        drawer.get_by_role("button", name="Close").tap()
        expect(drawer).to_be_hidden()


def test_touch_targets_are_large_enough(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True).open_tab()
    ask_and_wait(page, "```\ncode\n```")
    for control in page.locator("a:visible, button:visible, textarea:visible").all():
        box = control.bounding_box()
        name = control.evaluate("(element) => element.outerHTML.slice(0, 80)")
        assert box
        assert box["height"] >= 44 or "skip" in name, name
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_tab_order_of_conversation_page(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    ask_and_wait(page, "/say Hello")
    page.reload()
    expect(page.locator("#text")).to_be_focused()
    page.evaluate("() => { document.body.tabIndex = -1; document.body.focus() }")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to message box")).to_be_focused()
    expect(page.get_by_role("link", name="Skip to message box")).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("#text")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#main")).to_be_focused()
    names = []
    for _ in range(12):
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.ariaLabel ?? document.activeElement.textContent"))
    asked = ["Edit this question"]
    answered = ["Copy this answer", "Regenerate", "Regenerate with…", "Good answer", "Bad answer", "More"]
    assert re.fullmatch(r"\d{1,2}:\d\d.*", names.pop(0))
    assert names.pop(len(asked + answered)).startswith("Read your message")
    assert names == [*asked, *answered, "Message", "Dictate", "Send"]


def test_scrolling_sidebar_loads_older_conversations(new_visitor: Callable[..., BrowserVisitor]) -> None:
    guest = new_visitor()
    page = guest.open_tab()
    token = page.locator("#composer [name=csrf_token]").get_attribute("value") or ""
    for number in range(33):
        form: dict[str, Any] = {"csrf_token": token, "text": f"/say {number}", "idempotency_key": f"list-{number}"}
        # While too many wait to be answered, no more are taken.
        wait_until(lambda form=form: guest.context.request.post("/messages", form=form).ok, what="The question")
    page.goto(guest.site.url)
    rows = page.locator("#conversations .row")
    expect(rows).to_have_count(30)
    page.locator("#load-more-rows").scroll_into_view_if_needed()
    expect(rows).to_have_count(33)
    expect(page.locator("#load-more-rows")).to_be_hidden()
    # What was opened stays open when the list is renewed.
    choose_action(page, "/say 20", "button", "Pin")
    expect(rows.first).to_contain_text("/say 20")
    expect(rows).to_have_count(33)
    expect(page.locator(".day")).to_have_text(["Pinned", "Today"])


@pytest.mark.parametrize("width", [320, 390, 768, 1280, 1920])
def test_wide_content_does_not_overflow_window(new_visitor: Callable[..., BrowserVisitor], width: int) -> None:
    """What is too wide (code, tables) scrolls in itself; titles are cut and words are broken."""
    page = new_visitor(viewport={"width": width, "height": 800}).open_tab()
    table = "| " + " | ".join(["column"] * 12) + " |\n|" + "---|" * 12 + "\n| " + " | ".join(["value"] * 12) + " |"
    ask_and_wait(page, f"/say {'long title ' * 12}\n\n{'unbroken' * 40}\n\n```\n{'code ' * 60}\n```\n\n{table}\n")
    page.locator(".signature").click()
    expect(page.locator("#report-panel .report")).to_be_visible()
    fits = "[document.documentElement, document.querySelector('#main')].every(e => e.scrollWidth <= e.clientWidth)"
    assert page.evaluate(fits)
    page.reload()
    assert page.evaluate(fits)
