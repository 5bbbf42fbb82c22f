"""The composer: what is sent is seen at once, what cannot be sent comes back, and nothing moves or is lost."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.conftest import Visitor, ask_and_wait

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
  window.shifts.push(...shifts.takeRecords().filter((each) => !each.hadRecentInput).map((each) => each.value));
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
def test_what_is_sent_is_seen_at_once_and_stays_where_it_is(
    visitor: Callable[..., Visitor], screen: dict[str, object]
) -> None:
    page = visitor(**screen).tab()
    page.evaluate(WATCH_ANSWERED)
    send, stop = page.get_by_role("button", name="Send"), page.get_by_role("button", name="Stop")
    for question in ("The first", "The second\n" * 12):
        routes = held(page)
        box(page).fill(f"/slow {question} {'word ' * 60}")
        here = place(page, ".send")
        send.click()
        expect(page.locator("#sending .question")).to_contain_text(question.splitlines()[0])
        expect(box(page)).to_have_value("")
        expect(page.locator("#welcome")).to_be_hidden()
        box(page).press_sequentially("Meanwhile")
        before = place(page, ".question")
        routes[0].continue_()
        page.unroute("**/messages")
        expect(stop).to_be_visible()
        expect(page.locator("#sending")).to_have_count(0)
        assert tuple(page.evaluate("window.answered")) == before
        expect(box(page)).to_have_value("Meanwhile")
        assert place(page, ".send") == here
        stop.click()
        expect(send).to_be_visible()
        assert place(page, ".send") == here
    assert page.evaluate("window.shifts") == []


def test_who_answers_from_here_on_is_said_in_its_place_at_once(visitor: Callable[..., Visitor]) -> None:
    guest = visitor(refused=True)
    page = guest.tab()
    ask_and_wait(page, "/say Hello")
    path = page.url.removeprefix(guest.site.url)
    page.goto(f"{path}/settings")
    page.get_by_label("Instructions").fill("Be brief.")
    page.get_by_role("button", name="Save").click()
    page.goto(path)
    page.evaluate(WATCH_ANSWERED)
    for arrives in (False, True):
        expect(page.locator("#thread > #next-answerer")).to_be_visible()
        routes = held(page)
        press_enter(page, "/say Briefly")
        expect(page.locator("#sending #next-answerer")).to_be_visible()
        before = place(page, ".question")
        routes[0].continue_() if arrives else routes[0].abort()
        page.unroute("**/messages")
        expect(page.locator("#sending")).to_have_count(0)
    assert tuple(page.evaluate("window.answered")) == before
    expect(page.locator(".handover")).to_have_count(1)
    expect(page.locator(".prose").last).to_have_text("Briefly")


def test_what_cannot_be_sent_comes_back(visitor: Callable[..., Visitor]) -> None:
    page = visitor(refused=True).tab()
    routes = held(page)
    press_enter(page, "Half a word")
    expect(page.locator("#sending")).to_be_visible()
    box(page).press_sequentially("Meanwhile")
    routes[0].abort()
    expect(page.locator(".notice")).to_contain_text("cannot be reached")
    expect(page.locator("#sending")).to_have_count(0)
    expect(page.locator("#welcome")).to_be_visible()
    expect(box(page)).to_have_value("Half a word\nMeanwhile")
    # What the site refuses comes back as well, and nothing of it stays in the thread.
    page.unroute("**/messages")
    too_long = "word " * 1000
    press_enter(page, too_long)
    expect(page.locator("#notice")).to_contain_text("at most 4000 are possible")
    expect(box(page)).to_have_value(too_long)
    expect(page.locator(".question")).to_have_count(0)
    expect(box(page)).to_be_focused()


def test_an_empty_box_sends_nothing_and_has_the_focus(visitor: Callable[..., Visitor]) -> None:
    page = visitor().tab()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_role("button", name="Send").click()
    expect(box(page)).to_be_focused()
    page.keyboard.press("Enter")
    expect(box(page)).to_have_value("")
    assert not [url for url in asked if url.endswith("/messages")]


def test_a_page_that_is_left_before_the_site_answered_loses_nothing(visitor: Callable[..., Visitor]) -> None:
    guest = visitor()
    page = guest.tab()
    ask_and_wait(page, "/say Hello")
    path = page.url.removeprefix(guest.site.url)
    routes = held(page)
    press_enter(page, "Never arrived")
    expect(page.locator("#sending")).to_be_visible()
    page.goto("/models")
    routes[0].abort()
    page.unroute("**/messages")
    page.goto(path)
    expect(box(page)).to_have_value("Never arrived")


def test_a_long_text_is_kept_whole_and_told_how_much_is_too_long(visitor: Callable[..., Visitor]) -> None:
    guest = visitor(refused=True)
    guest.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = guest.tab()
    ask_and_wait(page, "/say Hello")
    page.evaluate("text => navigator.clipboard.writeText(text)", LINES)
    page.keyboard.press("Control+V")
    expect(box(page)).to_have_value(LINES)
    told = page.locator("#length")
    expect(told).to_contain_text(f"Too long: {len(LINES):,} of at most 4,000 characters.")
    expect(told).to_contain_text("so long a draft is not kept")
    # Of a little less the site keeps all.
    box(page).fill("x" * 4100)
    expect(told).to_have_text("Too long: 4,100 of at most 4,000 characters.")
    page.reload()
    expect(box(page)).to_have_value("x" * 4100)
    expect(told).to_have_text("Too long: 4,100 of at most 4,000 characters.")
    assert place(page, "#text")[3] <= 0.4 * 720 + 1
    box(page).fill("Short")
    expect(told).to_have_text("")


def test_enter_does_what_was_chosen(visitor: Callable[..., Visitor]) -> None:
    page = visitor().tab("/preferences")
    with page.expect_response("**/preferences"):
        page.get_by_role("radio", name=re.compile("^Begins a new line")).check()
    page.goto("/")
    expect(page.locator("#composer-hint")).to_have_text("Ctrl+Enter sends.")
    box(page).press_sequentially("/say One")
    page.keyboard.press("Enter")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("Two")
    expect(box(page)).to_have_value("/say One\n\nTwo")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".question")).to_have_text("/say One\n\nTwo")
    phone = visitor(**PHONE).tab()
    press_enter(phone, "One")
    expect(box(phone)).to_have_value("One\n")


def test_a_theme_holds_at_once_and_without_javascript(visitor: Callable[..., Visitor]) -> None:
    for javascript in (True, False):
        page = visitor(java_script_enabled=javascript, color_scheme="light").tab("/preferences")
        light = page.locator("body").evaluate("body => getComputedStyle(document.documentElement).backgroundColor")
        page.get_by_role("radio", name="Dark").check()
        expect(page.locator("html")).not_to_have_css("background-color", light)
        if javascript:
            expect(page.locator("#announcer")).to_have_text("This is kept on this device.")
            expect(page.get_by_role("radio", name="Dark")).to_be_focused()
        else:
            page.get_by_role("button", name="Save").click()
        page.goto("/")
        expect(page.locator("html")).not_to_have_css("background-color", light)


def test_another_language_is_chosen_where_the_focus_stays(visitor: Callable[..., Visitor]) -> None:
    page = visitor().tab("/preferences")
    page.get_by_role("radio", name="Español").check()
    expect(page.locator("html")).to_have_attribute("lang", "es")
    expect(page.get_by_role("radio", name="Español")).to_be_focused()


@pytest.mark.parametrize("height", [300, 568])
def test_the_list_of_who_answers_stays_in_the_window(visitor: Callable[..., Visitor], height: int) -> None:
    page = visitor(viewport={"width": 320, "height": height}).tab()
    page.locator("#answerer-name").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#answerer-list")).to_be_visible()
    x, y, width, tall = place(page, "#answerer-list")
    assert x >= 0
    assert y >= 0
    assert x + width <= 320
    assert y + tall <= height
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("radio", name="creative")).to_be_checked()
    expect(page.locator("#answerer-name")).to_contain_text("creative")
    page.keyboard.press("Escape")
    expect(page.locator("#answerer-list")).to_be_hidden()
    expect(page.locator("#answerer-name")).to_be_focused()
