"""Copying, languages, small screens and keyboards."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visitor, act, ask_and_wait

pytestmark = pytest.mark.browser


def test_an_answer_and_its_code_are_copied(visitor: Callable[..., Visitor]) -> None:
    guest = visitor()
    guest.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = guest.tab()
    ask_and_wait(page, "/say Some **bold** text\n\n```python\nprint('code')\n```")
    page.get_by_role("button", name="Copy this answer").click()
    expect(page.locator(".copy-word")).to_have_text("Copied")
    written = page.evaluate("navigator.clipboard.readText()")
    assert written == "Some **bold** text\n\n```python\nprint('code')\n```"
    page.get_by_role("button", name="Copy", exact=True).click()
    expect(page.locator("button.copy")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()").strip() == "print('code')"
    expect(page.locator("button.copy")).to_have_text("Copy")


def test_spanish_from_the_first_page_to_the_last_token(visitor: Callable[..., Visitor]) -> None:
    page = visitor(locale="es-AR", timezone_id="Europe/Madrid").tab()
    expect(page.get_by_role("heading", name="¿Qué tienes en mente?")).to_be_visible()
    page.get_by_role("textbox", name="Mensaje").fill("/long 300")
    page.keyboard.press("Enter")
    expect(page.locator(".status")).to_contain_text("tokens por segundo")
    page.get_by_role("link", name="Lo que vio el modelo").click()
    expect(page.locator(".figures")).to_contain_text("Palabras")
    expect(page.locator(".day")).to_have_text("Hoy")
    cookies = {cookie["name"]: cookie["value"] for cookie in page.context.cookies()}
    assert cookies["chatsite_timezone"] == "Europe/Madrid"
    conversation = page.url
    page.get_by_role("link", name="Preferencias").click()
    page.get_by_role("radio", name="English").check()
    expect(page.get_by_role("heading", name="Preferences")).to_be_visible()
    page.goto(conversation)
    expect(page.get_by_role("textbox", name="Message")).to_be_visible()
    expect(page.locator(".day")).to_have_text("Today")


def test_the_drawer_of_a_phone(visitor: Callable[..., Visitor]) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    for javascript in (True, False):
        page = visitor(java_script_enabled=javascript, **phone).tab()
        drawer = page.get_by_role("navigation", name="Conversations")
        expect(drawer).to_be_hidden()
        page.get_by_role("button", name="Conversations").tap()
        expect(drawer).to_be_visible()
        expect(drawer.get_by_role("link", name="New conversation")).to_be_in_viewport()
        drawer.get_by_role("button", name="Close").tap()
        expect(drawer).to_be_hidden()


def test_targets_are_large_enough_for_thumbs(visitor: Callable[..., Visitor]) -> None:
    page = visitor(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True).tab()
    ask_and_wait(page, "```\ncode\n```")
    for control in page.locator("a:visible, button:visible, textarea:visible").all():
        box = control.bounding_box()
        name = control.evaluate("(element) => element.outerHTML.slice(0, 80)")
        assert box
        assert box["height"] >= 44 or "skip" in name, name
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_keyboard_reaches_everything(visitor: Callable[..., Visitor]) -> None:
    page = visitor().tab()
    ask_and_wait(page, "/say Hello")
    page.reload()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the conversation")).to_be_focused()
    expect(page.get_by_role("link", name="Skip to the conversation")).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    names = []
    for _ in range(11):
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.ariaLabel ?? document.activeElement.textContent"))
    asked = ["Edit this question"]
    answered = ["Copy this answer", "Answer again", "Good answer", "Bad answer", "Continue in a new conversation"]
    answered += ["What the model saw"]
    times = [names.pop(0), names.pop(len(asked + answered))]
    assert all(re.fullmatch(r"\d{1,2}:\d\d.*", time) for time in times), times
    assert names == [*asked, *answered, "Message", "Send"]


def test_older_conversations_come_as_the_list_is_scrolled(visitor: Callable[..., Visitor]) -> None:
    guest = visitor()
    page = guest.tab()
    token = page.locator("#composer [name=csrf_token]").get_attribute("value") or ""
    for number in range(33):
        form = {"csrf_token": token, "text": f"/say {number}", "token": f"list-{number}"}
        assert guest.context.request.post("/messages", form=form).ok
        page.wait_for_timeout(60)
    page.goto(guest.site.url)
    rows = page.locator("#conversations .row")
    expect(rows).to_have_count(30)
    page.locator("#older").scroll_into_view_if_needed()
    expect(rows).to_have_count(33)
    expect(page.locator("#older")).to_be_hidden()
    # What was opened stays open when the list is renewed.
    act(page, "/say 20", "button", "Pin")
    expect(rows.first).to_contain_text("/say 20")
    expect(rows).to_have_count(33)
    expect(page.locator(".day")).to_have_text(["Pinned", "Today"])


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_nothing_is_wider_than_the_window(visitor: Callable[..., Visitor], width: int) -> None:
    """What is too wide (code, tables) scrolls in itself; titles are cut and words are broken."""
    page = visitor(viewport={"width": width, "height": 800}).tab()
    table = "| " + " | ".join(["column"] * 12) + " |\n|" + "---|" * 12 + "\n| " + " | ".join(["value"] * 12) + " |"
    ask_and_wait(page, f"/say {'long title ' * 12}\n\n{'unbroken' * 40}\n\n```\n{'code ' * 60}\n```\n\n{table}\n")
    page.get_by_role("link", name="What the model saw").click()
    expect(page.locator("details[open]")).to_be_visible()
    fits = "[document.documentElement, document.querySelector('#main')].every(e => e.scrollWidth <= e.clientWidth)"
    assert page.evaluate(fits)
    page.reload()
    assert page.evaluate(fits)
