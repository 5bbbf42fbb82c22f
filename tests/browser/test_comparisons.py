"""The story of comparing: three answers beside each other, streaming together, and one to go on with."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor
from tests.browser.test_answerers import TEXT, answering, quiet
from tests.site import Site

pytestmark = pytest.mark.browser
__all__ = ["quiet"]


def compare(page: Page, *models: str) -> None:
    """Choose who is to be compared, and ask."""
    page.locator("#answerer-name").click()
    page.get_by_text("Compare models").click()
    for model in models:
        page.get_by_role("checkbox", name=model).check()
    page.locator("#answerer-name").click()
    page.get_by_role("textbox", name="Message").fill(f"/say {TEXT}")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".compared")).to_have_count(len(models))


def finished(page: Page, columns: int) -> None:
    """Wait until all columns are written."""
    expect(page.get_by_role("button", name="Go on with this one")).to_have_count(columns)
    for text in page.locator(".compared .prose").all():
        expect(text).to_have_text(TEXT)
    expect(page.get_by_role("button", name="Send")).to_be_visible()


def test_answers_are_compared_and_one_goes_on(visitor: Callable[..., Visitor], quiet: Site) -> None:
    with answering(quiet, 60):
        guest = visitor(quiet)
        page = guest.tab()
        compare(page, "Demo script", "BlenderBot 400M", "SmolLM2 135M")
        # All of them are being written at the same time, here and in a second tab.
        expect(page.locator(".compared [aria-busy] .block").filter(has_text="word1")).to_have_count(3)
        other = guest.tab(page.url.removeprefix(quiet.url))
        expect(other.locator(".compared [aria-busy]")).to_have_count(3)
        expect(page.get_by_role("button", name="Stop")).to_be_visible()
        finished(page, 3)
        finished(other, 3)
        tops = [column.bounding_box() for column in page.locator(".compared").all()]
        assert len({round(box["y"]) for box in tops if box}) == 1, "side by side"
        page.set_viewport_size({"width": 390, "height": 844})
        tops = [column.bounding_box() for column in page.locator(".compared").all()]
        assert len({round(box["x"]) for box in tops if box}) == 1, "below each other"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.locator(".compared").nth(1).get_by_role("button", name="Go on with this one").click()
        expect(page.locator(".comparison")).to_have_count(0)
        expect(page.locator("article.message-assistant")).to_have_count(1)
        expect(page.locator("#answerer-name")).to_contain_text("BlenderBot 400M")
        expect(page.locator("#announcer")).to_contain_text("BlenderBot 400M")
        assert page.evaluate("document.activeElement.closest('.versions') !== null"), "the focus stays at the answer"
        expect(page.get_by_role("group", name="Versions")).to_contain_text("2/3")

        plain = visitor(quiet, java_script_enabled=False).tab()
        compare(plain, "Demo script", "SmolLM2 135M")
        finished(plain, 2)
        plain.locator(".compared").nth(1).get_by_role("button", name="Go on with this one").click()
        expect(plain.locator(".comparison")).to_have_count(0)
        expect(plain.locator("#answerer-name")).to_contain_text("SmolLM2 135M Instruct")
        expect(plain.get_by_role("group", name="Versions")).to_contain_text("2/2")
