"""The composer: what is sent is seen at once, what cannot be sent comes back, and nothing moves or is lost."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.conftest import BrowserVisitor, ask_and_wait, wait_for_script
from tests.browser.writer import Writer

pytestmark = pytest.mark.browser

LINES = "\n".join(f"Line {number} of what was copied elsewhere" for number in range(5000))
PHONE = {"viewport": {"width": 320, "height": 568}, "has_touch": True, "is_mobile": True}


# Where the question stands once the site has answered, before anything of the answer is there; and what moved until
# then that nobody who typed or pressed something has moved.
WATCH_ANSWERED = """
window.shifts = [];
const shifts = new PerformanceObserver(() => {});
shifts.observe({ type: "layout-shift" });
document.addEventListener("htmx:finally:request", ({ detail }) => {
  if (detail.ctx.sourceElement.id !== "composer") return;
  const { x, y, width, height } = [...document.querySelectorAll(".question")].at(-1).getBoundingClientRect();
  window.answered = [x, y, width, height];
  // Stop comes beside Send, which makes their place wider and moves neither.
  const moves = (each) => each.sources.some((source) => source.node?.id !== "composer-button");
  const moved = shifts.takeRecords().filter((each) => !each.hadRecentInput && moves(each));
  window.shifts.push(...moved.map((each) => each.value));
  shifts.disconnect();
});
"""


def box(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Message")


def held(page: Page) -> list[Route]:
    """Holds back what is posted from now on, until it is let go."""
    routes: list[Route] = []
    page.route("**/messages", lambda route: routes.append(route))
    return routes


def place(page: Page, selector: str) -> tuple[float, ...]:
    """Where an element stands on the screen."""
    found = page.locator(selector).last.bounding_box()
    assert found
    return tuple(found[side] for side in ("x", "y", "width", "height"))


def press_enter(page: Page, text: str) -> None:
    """Write a question and press Enter."""
    box(page).fill(text)
    page.keyboard.press("Enter")


@pytest.mark.parametrize("screen", [{}, PHONE])
def test_sent_message_appears_immediately_without_layout_shift(
    new_visitor: Callable[..., BrowserVisitor], writer: Writer, screen: dict[str, object]
) -> None:
    # Nothing is answered there until it is stopped.
    page = new_visitor(writer.site, **screen).open_tab()
    page.evaluate(WATCH_ANSWERED)
    send, stop = page.get_by_role("button", name="Send", exact=True), page.get_by_role("button", name="Stop")
    for question in ("The first", "The second\n" * 12):
        routes = held(page)
        box(page).fill(f"{question} {'word ' * 60}")
        here = place(page, ".send")
        send.click()
        expect(page.locator("#pending .question")).to_contain_text(question.splitlines()[0])
        expect(box(page)).to_have_value("")
        expect(page.locator("#welcome")).to_be_hidden()
        box(page).press_sequentially("Meanwhile")
        before = place(page, ".question")
        routes[0].continue_()
        page.unroute("**/messages")
        expect(stop).to_be_visible()
        expect(page.locator("#pending")).to_have_count(0)
        assert tuple(page.evaluate("window.answered")) == before
        expect(box(page)).to_have_value("Meanwhile")
        assert place(page, ".send") == here
        stop.click()
        expect(send).to_be_visible()
        assert place(page, ".send") == here
    assert page.evaluate("window.shifts") == []


def test_pending_message_shows_change_notice_in_place(new_visitor: Callable[..., BrowserVisitor]) -> None:
    guest = new_visitor(refused=True)
    page = guest.open_tab()
    ask_and_wait(page, "/say Hello")
    path = page.url.removeprefix(guest.site.url)
    page.goto(f"{path}/settings")
    page.get_by_label("Instructions").fill("Be brief.")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".toast", has_text="Chat settings saved").locator("visible=true")).to_have_count(1)
    page.goto(path)
    page.evaluate(WATCH_ANSWERED)
    for arrives in (False, True):
        expect(page.locator("#thread > #next-change-notice")).to_be_visible()
        routes = held(page)
        press_enter(page, "/say Briefly")
        expect(page.locator("#pending #next-change-notice")).to_be_visible()
        before = place(page, ".question")
        routes[0].continue_() if arrives else routes[0].abort()
        page.unroute("**/messages")
        expect(page.locator("#pending")).to_have_count(0)
    assert tuple(page.evaluate("window.answered")) == before
    expect(page.locator(".change-notice")).to_have_count(1)
    expect(page.locator(".prose").last).to_have_text("Briefly")


def test_unsent_text_returns_to_composer(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor(refused=True).open_tab()
    routes = held(page)
    press_enter(page, "Half a word")
    expect(page.locator("#pending")).to_be_visible()
    box(page).press_sequentially("Meanwhile")
    routes[0].abort()
    expect(page.locator(".notice")).to_contain_text("Cannot connect")
    expect(page.locator("#pending")).to_have_count(0)
    expect(page.locator("#welcome")).to_be_visible()
    expect(box(page)).to_have_value("Half a word\nMeanwhile")
    # What the site refuses comes back as well, and nothing of it stays in the thread.
    page.unroute("**/messages")
    too_long = "word " * 1000
    # As in a page that is older than the limit.
    box(page).evaluate("text => (text.dataset.maxLength = 9000)")
    press_enter(page, too_long)
    expect(page.locator("#notice")).to_contain_text("the maximum is 4,000")
    expect(box(page)).to_have_value(too_long)
    expect(page.locator(".question")).to_have_count(0)
    expect(box(page)).to_be_focused()


def test_empty_composer_sends_nothing_and_keeps_focus(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_role("button", name="Send").click()
    expect(box(page)).to_be_focused()
    page.keyboard.press("Enter")
    expect(box(page)).to_have_value("")
    assert not [url for url in asked if url.endswith("/messages")]


def test_leaving_page_before_response_keeps_text(new_visitor: Callable[..., BrowserVisitor]) -> None:
    guest = new_visitor()
    page = guest.open_tab()
    ask_and_wait(page, "/say Hello")
    path = page.url.removeprefix(guest.site.url)
    routes = held(page)
    press_enter(page, "Never arrived")
    expect(page.locator("#pending")).to_be_visible()
    page.goto("/models")
    routes[0].abort()
    page.unroute("**/messages")
    page.goto(path)
    expect(box(page)).to_have_value("Never arrived")


def test_enter_key_follows_preference(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab("/settings")
    with page.expect_response("**/preferences"):
        page.get_by_role("radio", name=re.compile("^Starts a new line")).check()
    page.goto("/")
    expect(page.locator("#composer-hint")).to_have_text("Ctrl+Enter sends.")
    box(page).press_sequentially("/say One")
    page.keyboard.press("Enter")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("Two")
    expect(box(page)).to_have_value("/say One\n\nTwo")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".question")).to_have_text("/say One\n\nTwo")
    phone = new_visitor(**PHONE).open_tab()
    press_enter(phone, "One")
    expect(box(phone)).to_have_value("One\n")


def test_theme_applies_immediately_and_without_javascript(new_visitor: Callable[..., BrowserVisitor]) -> None:
    for javascript in (True, False):
        page = new_visitor(java_script_enabled=javascript, color_scheme="light").open_tab("/settings")
        light = page.locator("body").evaluate("body => getComputedStyle(document.documentElement).backgroundColor")
        page.get_by_role("radio", name="Dark").check()
        expect(page.locator("html")).not_to_have_css("background-color", light)
        if javascript:
            expect(page.locator("#saved-appearance")).to_have_text("Saved")
            expect(page.get_by_role("radio", name="Dark")).to_be_focused()
        else:
            page.get_by_role("button", name="Save", exact=True).first.click()
        page.goto("/")
        expect(page.locator("html")).not_to_have_css("background-color", light)


def test_language_change_keeps_focus(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab("/settings")
    page.get_by_role("radio", name="Español").check()
    expect(page.locator("html")).to_have_attribute("lang", "es")
    expect(page.get_by_role("radio", name="Español")).to_be_focused()


@pytest.mark.parametrize("height", [300, 568])
def test_model_picker_stays_in_window(new_visitor: Callable[..., BrowserVisitor], height: int) -> None:
    page = new_visitor(viewport={"width": 320, "height": height}).open_tab()
    page.locator("#model-picker-name").focus()
    page.keyboard.press("Enter")
    wait_for_script(page, "model_picker")
    expect(page.locator("#model-picker-list")).to_be_visible()
    x, y, width, tall = place(page, "#model-picker-list")
    assert x >= 0
    assert y >= 0
    assert x + width <= 320
    assert y + tall <= height
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("radio", name="creative")).to_be_checked()
    page.keyboard.press("Escape")
    expect(page.locator("#model-picker-list")).to_be_hidden()
    expect(page.locator("#model-picker-name")).to_contain_text("creative")
    expect(page.locator("#model-picker-name")).to_be_focused()


def test_pasted_code_is_shown_with_its_first_indentation(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    ask_and_wait(page, "/say Hello")
    routes = held(page)
    press_enter(page, "\n  \n    def f():\n        return 1\n\n")
    # As it stands until the site has answered.
    assert page.locator("#pending .question").inner_text() == "    def f():\n        return 1"
    page.wait_for_function("() => document.querySelector('#text').value === ''")
    routes[0].continue_()
    expect(page.locator("#pending")).to_have_count(0)


def test_direction_is_not_looked_for_while_pasting(new_visitor: Callable[..., BrowserVisitor]) -> None:
    """Chromium would look at the whole text for each line that it inserts: seconds for thousands of lines."""
    visitor = new_visitor(refused=True)
    visitor.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = visitor.open_tab()
    page.evaluate("(text) => navigator.clipboard.writeText(text)", LINES)
    page.evaluate("() => addEventListener('beforeinput', ({ target }) => { window.pasting = target.dir }, true)")
    box(page).press("Control+v")
    expect(box(page)).to_have_value(LINES)
    assert page.evaluate("window.pasting") == ""
    expect(box(page)).to_have_attribute("dir", "auto")
