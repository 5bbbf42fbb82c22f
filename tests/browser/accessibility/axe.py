"""What axe-core, which knows the rules of accessibility, finds wrong with a page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

# All rules that are not experimental, those of best practice too; the size of targets is off unless it is asked for.
ALL_RULES: dict[str, Any] = {"rules": {"target-size": {"enabled": True}}}
# Nothing but colours differs between the themes.
COLOR_RULES: dict[str, Any] = {"runOnly": ["color-contrast", "link-in-text-block"]}
# Colours that are on their way from one theme to the other are those of neither.
RUN_SCRIPT = """async (options) => {
  const changes = document.getAnimations().filter((each) => each instanceof CSSTransition);
  await Promise.allSettled(changes.map((each) => each.finished));
  const found = await axe.run(document, {...options, resultTypes: ["violations"]});
  return found.violations.flatMap((rule) =>
    rule.nodes.map((node) => `${rule.id}: ${node.target.join(" ")}: ${node.failureSummary}`));
}"""
MAX_HEIGHT = 12000


def find_violations(page: Page) -> list[str]:
    """What is wrong with the page as it stands, in light and in dark; empty where nothing is."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    with full_height(page):
        page.emulate_media(color_scheme="light")
        violations: list[str] = page.evaluate(RUN_SCRIPT, ALL_RULES)
        page.emulate_media(color_scheme="dark")
        violations += [f"dark: {violation}" for violation in page.evaluate(RUN_SCRIPT, COLOR_RULES)]
        page.emulate_media(color_scheme="light")
    return violations


@contextmanager
def full_height(page: Page) -> Iterator[None]:
    """A window so high that nothing has to be scrolled to: of what cannot be seen axe-core judges no colours."""
    size = page.viewport_size
    assert size
    height_script = (
        "Math.max(...[...document.querySelectorAll('body, main, nav')].map((box) => box.scrollHeight)) + 100"
    )
    page.set_viewport_size({**size, "height": min(max(size["height"], page.evaluate(height_script)), MAX_HEIGHT)})
    yield
    page.set_viewport_size(size)
