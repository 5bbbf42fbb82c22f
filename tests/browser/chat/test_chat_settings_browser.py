"""The story of settings and personas, with and without JavaScript."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import BrowserVisitor, ask_and_wait

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("scripts", [True, False])
def test_persona_settings_can_be_edited_in_conversation(
    new_visitor: Callable[..., BrowserVisitor], scripts: bool
) -> None:
    page = new_visitor(refused=True, java_script_enabled=scripts).open_tab()
    page.get_by_role("link", name="Patient tutor").click()
    expect(page.get_by_role("heading", name="Patient tutor")).to_be_visible()
    ask_and_wait(page, "/say The first")
    expect(page.locator("#model-picker-name")).to_contain_text("Patient tutor")

    page.locator("#model-picker-name").click()
    page.locator("#model-picker-list").get_by_role("link", name="Chat settings").click()
    page.get_by_label("Persona name").fill("Grumpy tutor")
    page.get_by_label("Instructions").fill("Grumble.\nThen explain.")
    temperature = page.get_by_label("Creativity (temperature)", exact=True)
    temperature.fill("9")
    page.get_by_role("button", name="Save", exact=True).click()
    error = page.get_by_role("alert").filter(has_text="Creativity (temperature): enter a number from 0 to 2")
    expect(error).to_be_visible()
    expect(page.get_by_label("Instructions")).to_have_value("Grumble.\nThen explain.")
    temperature.fill("0.5")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#next-change-notice")).to_have_text("From here on: Grumpy tutor")
    ask_and_wait(page, "/say The second")
    expect(page.locator("#next-change-notice")).to_have_count(0)
    expect(page.locator(".change-notice")).to_have_text("From here on: Grumpy tutor")
    page.locator(".signature").last.click()
    expect(page.locator(".turn-persona")).to_contain_text("Grumble. Then explain.")
    expect(page.locator(".report .settings")).to_contain_text("Temperature")


def test_custom_persona_can_be_created_edited_used_deleted(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor(java_script_enabled=False).open_tab("/personas/new?persona=tutor")
    page.get_by_label("Name").fill("My own")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("link", name="Edit “My own”").click()
    page.get_by_label("Instructions").fill("Be brief.")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".persona-text").first).to_have_text("Be brief.")
    page.get_by_role("link", name="Start a chat with “My own”").click()
    ask_and_wait(page, "/say The third")
    expect(page.locator("#model-picker-name")).to_contain_text("My own")
    page.goto("/personas")
    page.get_by_role("button", name="Delete My own").click()
    expect(page.get_by_text("No personas yet.")).to_be_visible()
    page.get_by_role("button", name="Undo").first.click()
    expect(page.locator(".persona-text").first).to_have_text("Be brief.")


def test_sliders_and_answer_again(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    ask_and_wait(page, "/say The first")
    conversation = page.url
    page.goto(f"{conversation}/settings")
    number = page.get_by_label("Creativity (temperature)", exact=True)
    slider = page.get_by_role("slider", name="Creativity (temperature), slider")
    slider.focus()
    page.keyboard.press("End")
    expect(number).to_have_value("2")
    page.keyboard.press("ArrowLeft")
    expect(number).to_have_value("1.95")
    number.fill("0,5")
    expect(slider).to_have_value("0.5")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".toast").last).to_contain_text("They apply from the next answer.")
    page.goto(f"{conversation}/settings")
    expect(number).to_have_value("0.5")
    page.get_by_label("Instructions").fill("Be brief.")
    page.get_by_role("button", name="Answer the last question with these").click()
    expect(page.get_by_text("2/2").last).to_be_visible()
    expect(page.locator(".message-assistant").last).to_contain_text("The first")
    page.set_viewport_size({"width": 420, "height": 800})
    page.goto(f"{conversation}/settings")
    expect(page.get_by_label("Instructions")).to_have_value("Be brief.")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
