"""What is read stays where it is, and what is selected stays selected, while the answer grows."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Visitor, ask, ask_and_wait

pytestmark = pytest.mark.browser

SENTENCE = "This paragraph has **bold** words and goes on for long enough to be read and selected."
CODE = "```python\n" + "\n".join(f"value_{number} = {number} * 2  # twice" for number in range(9)) + "\n```"
TEXT = "/say " + "\n\n".join([*(f"{number}. {SENTENCE}" for number in range(1, 5)), CODE])
PAGES = "/slow " + "\n\n".join(f"Number {number}. It has **bold** words." for number in range(90))
SELECT = """
(selector) => {
  const element = [...document.querySelectorAll(selector)].at(-1);
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  let node = walker.nextNode();
  while (node.length < 9) node = walker.nextNode();
  getSelection().setBaseAndExtent(node, 2, node, Math.min(9, node.length));
  return getSelection().toString();
}
"""


def test_what_is_selected_stays_selected(visitor: Callable[..., Visitor]) -> None:
    page = visitor().tab()
    ask(page, TEXT)
    expect(page.locator(".block li").first).to_contain_text("paragraph")
    chosen = page.evaluate(SELECT, ".block li")
    assert len(chosen) == 7
    expect(page.locator("figure.code")).to_be_visible()
    assert page.evaluate("getSelection().toString()") == chosen
    expect(page.locator("figure code")).to_contain_text("value_1")
    chosen = page.evaluate(SELECT, "figure code")
    expect(page.locator("article").last).not_to_have_attribute("aria-busy", "true")
    expect(page.locator("figure code span").first).to_be_visible()
    assert page.evaluate("getSelection().toString()") == chosen


def test_the_end_is_followed_and_what_is_read_does_not_move(visitor: Callable[..., Visitor]) -> None:
    page = visitor().tab()
    ask(page, PAGES)
    expect(page.locator(".prose").get_by_text("Number 12.")).to_be_in_viewport()
    page.mouse.move(700, 300)
    page.mouse.wheel(0, -350)
    read = page.locator(".prose").get_by_text("Number 6.")
    _await_rest(page, read)
    places = []
    for _ in range(8):
        places.append(read.bounding_box()["y"])  # type: ignore[index]
        page.wait_for_timeout(100)
    assert page.locator("article[aria-busy]").count() == 1, "The answer ended too early to show anything."
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("You stopped this answer.").first).to_be_attached()
    assert max(places) - min(places) < 2
    # A new question leads to the end again.
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    ask_and_wait(page, "/say And now the end")
    expect(page.locator(".prose").last).to_be_in_viewport()


def _await_rest(page: Page, read: Locator) -> None:
    """Wait until the wheel's own movement is over."""
    before = -1.0
    while (now := read.bounding_box()["y"]) != before:  # type: ignore[index]
        before = now
        page.wait_for_timeout(100)


def test_nothing_shifts_while_a_page_loads(visitor: Callable[..., Visitor]) -> None:
    guest = visitor()
    page = guest.tab()
    ask_and_wait(page, TEXT)
    page.add_init_script(
        "window.shift = 0; new PerformanceObserver((list) => list.getEntries().forEach((entry) => {"
        "window.shift += entry.value })).observe({ type: 'layout-shift', buffered: true })"
    )
    for path in (page.url, guest.site.url):
        page.goto(path)
        page.wait_for_timeout(300)
        assert page.evaluate("window.shift") < 0.01


@pytest.mark.parametrize("path", ["/", "conversation"])
def test_the_first_load_is_small(visitor: Callable[..., Visitor], path: str) -> None:
    guest = visitor()
    page = guest.tab()
    if path == "conversation":
        ask_and_wait(page, "Anything")
        path = page.url.removeprefix(guest.site.url)
    session = guest.context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    bodies: list[float] = []
    session.on("Network.loadingFinished", lambda event: bodies.append(event["encodedDataLength"]))
    page.goto(guest.site.url + path)
    page.wait_for_load_state("networkidle")
    assert len(bodies) <= 10
    assert sum(bodies) <= 60_000
    print(f"{path}: {len(bodies)} requests, {sum(bodies):.0f} bytes")
