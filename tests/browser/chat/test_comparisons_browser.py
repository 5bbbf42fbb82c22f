"""The story of comparing: three answers beside each other, streaming together, and one to go on with."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from chatsite.engine.scripted import ScriptedEngine
from tests.browser.accessibility.axe import find_violations
from tests.browser.conftest import BrowserVisitor
from tests.browser.test_choice_browser import TEXT, answering, site_without_runner
from tests.browser.writer import Halting
from tests.support.served_site import ServedSite

pytestmark = pytest.mark.browser
__all__ = ["site_without_runner"]


def compare(page: Page, *models: str) -> None:
    """Choose who is to be compared, and ask."""
    page.locator("#model-picker-name").click()
    page.get_by_role("switch", name="Compare").check()
    for model in models:
        page.get_by_role("checkbox", name=model).check()
    page.locator("#model-picker-name").click()
    page.get_by_role("textbox", name="Message").fill(f"/say {TEXT}")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".compared")).to_have_count(len(models))


def finished(page: Page, columns: int) -> None:
    """Wait until all columns are written."""
    expect(page.get_by_role("button", name="Continue with this answer")).to_have_count(columns)
    for text in page.locator(".compared .prose").all():
        expect(text).to_have_text(TEXT)
    expect(page.get_by_role("button", name="Send")).to_be_visible()


def test_comparison_continues_with_chosen_answer(
    new_visitor: Callable[..., BrowserVisitor], site_without_runner: ServedSite
) -> None:
    engine = Halting(20)
    with answering(site_without_runner, engine):
        guest = new_visitor(site_without_runner)
        page = guest.open_tab()
        compare(page, "Demo script", "BlenderBot 400M", "SmolLM2 135M")
        # All of them are being written at the same time, here and in a second tab.
        expect(page.locator(".compared [aria-busy] .block").filter(has_text="word1")).to_have_count(3)
        other = guest.open_tab(page.url.removeprefix(site_without_runner.url))
        expect(other.locator(".compared [aria-busy]")).to_have_count(3)
        expect(page.get_by_role("button", name="Stop")).to_be_visible()
        engine.go_on()
        finished(page, 3)
        finished(other, 3)
        tops = [column.bounding_box() for column in page.locator(".compared").all()]
        assert len({round(box["y"]) for box in tops if box}) == 1, "side by side"
        page.set_viewport_size({"width": 390, "height": 844})
        tops = [column.bounding_box() for column in page.locator(".compared").all()]
        assert len({round(box["x"]) for box in tops if box}) == 1, "below each other"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.locator(".compared").nth(1).get_by_role("button", name="Continue with this answer").click()
        expect(page.locator(".comparison")).to_have_count(0)
        expect(page.locator("article.message-assistant")).to_have_count(1)
        expect(page.locator("#model-picker-name")).to_contain_text("BlenderBot 400M")
        expect(page.locator("#announcer")).to_contain_text("BlenderBot 400M")
        assert page.evaluate("document.activeElement.closest('.versions') !== null"), "the focus stays at the answer"
        expect(page.get_by_role("group", name="Versions")).to_contain_text("2/3")

        plain = new_visitor(site_without_runner, java_script_enabled=False).open_tab()
        compare(plain, "Demo script", "SmolLM2 135M")
        finished(plain, 2)
        plain.locator(".compared").nth(1).get_by_role("button", name="Continue with this answer").click()
        expect(plain.locator(".comparison")).to_have_count(0)
        expect(plain.locator("#model-picker-name")).to_contain_text("SmolLM2 135M Instruct")
        expect(plain.get_by_role("group", name="Versions")).to_contain_text("2/2")


def test_regenerating_both_and_what_was_faster(
    new_visitor: Callable[..., BrowserVisitor], site_without_runner: ServedSite
) -> None:
    with answering(site_without_runner, ScriptedEngine(2000)):
        page = new_visitor(site_without_runner).open_tab()
        compare(page, "Demo script", "SmolLM2 135M")
        finished(page, 2)
        old = page.locator(".compared article").first.get_attribute("id")
        page.get_by_role("button", name="Regenerate both").click()
        # The new ones take the place of the old ones, which stay as versions.
        expect(page.locator(f"#{old}")).to_have_count(0)
        finished(page, 2)
        expect(page.get_by_role("button", name="Regenerate both")).to_be_visible()
        expect(page.locator(".comparison")).to_have_count(1)
        page.locator(".compared").first.get_by_role("button", name="Continue with this answer").click()
        expect(page.get_by_role("group", name="Versions")).to_contain_text("3/4")


def test_chips_name_who_is_compared_and_leave_one_out(
    new_visitor: Callable[..., BrowserVisitor], site_without_runner: ServedSite
) -> None:
    with answering(site_without_runner, ScriptedEngine(2000)):
        page = new_visitor(site_without_runner).open_tab()
        page.locator("#model-picker-name").click()
        expect(page.get_by_role("radio", name="Demo script")).to_be_visible()
        page.get_by_role("switch", name="Compare").check()
        expect(page.get_by_role("radio", name="Demo script")).to_be_hidden()
        expect(page.get_by_role("checkbox", name="Demo script")).to_be_checked()
        for model in ("BlenderBot 400M", "SmolLM2 135M"):
            page.get_by_role("checkbox", name=model).check()
        chips = page.locator("#compare-chips button")
        expect(chips).to_have_count(3)
        page.keyboard.press("Escape")
        expect(page.locator("#model-picker-list")).to_be_hidden()
        assert find_violations(page) == []
        page.get_by_role("button", name="Do not compare BlenderBot 400M").press("Enter")
        expect(chips).to_have_text(["SmolLM2 135M Instruct", "Demo script"], use_inner_text=True)
        page.get_by_role("button", name="Do not compare SmolLM2 135M Instruct").click()
        expect(chips).to_have_count(0)
        expect(page.locator("#model-picker-name")).to_contain_text("Demo script")
