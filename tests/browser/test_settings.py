"""The story of settings and personas, with and without JavaScript."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visitor, ask_and_wait

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("scripts", [True, False])
def test_a_persona_from_beginning_to_end(visitor: Callable[..., Visitor], scripts: bool) -> None:
    page = visitor(refused=True, java_script_enabled=scripts).tab()
    page.get_by_role("link", name="Patient tutor").click()
    expect(page.get_by_text("It speaks as “Patient tutor”.")).to_be_visible()
    ask_and_wait(page, "/say The first")
    expect(page.locator("#answerer-name")).to_contain_text("Patient tutor")

    page.locator("#answerer-name").click()
    page.locator("#answerer-list").get_by_role("link", name="Settings").click()
    page.get_by_label("Name of the persona").fill("Grumpy tutor")
    page.get_by_label("Instructions").fill("Grumble.\nThen explain.")
    page.get_by_text("Numbers").click()
    page.get_by_label("Temperature").fill("9")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert").last).to_contain_text("Temperature: write a number from 0 to 2")
    expect(page.get_by_label("Instructions")).to_have_value("Grumble.\nThen explain.")
    page.get_by_label("Temperature").fill("0.5")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#next-answerer")).to_have_text("From here on: Grumpy tutor")
    ask_and_wait(page, "/say The second")
    expect(page.locator("#next-answerer")).to_have_count(0)
    expect(page.locator(".handover")).to_have_text("From here on: Grumpy tutor")
    page.get_by_role("link", name="What the model saw").last.click()
    expect(page.locator(".turn-persona")).to_contain_text("Grumble. Then explain.")
    expect(page.locator(".receipt .settings")).to_contain_text("Temperature")


def test_a_persona_of_ones_own(visitor: Callable[..., Visitor]) -> None:
    page = visitor(java_script_enabled=False).tab("/personas/new?persona=tutor")
    page.get_by_label("Name").fill("My own")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("link", name="Edit “My own”").click()
    page.get_by_label("Instructions").fill("Be brief.")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".persona-text").first).to_have_text("Be brief.")
    page.get_by_role("link", name="Begin with “My own”").click()
    ask_and_wait(page, "/say The third")
    expect(page.locator("#answerer-name")).to_contain_text("My own")
    page.goto("/personas")
    page.get_by_role("link", name="Delete “My own”").click()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("You keep none yet.")).to_be_visible()
