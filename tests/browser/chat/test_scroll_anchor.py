"""What is read stays where it is, and what is selected stays selected, while the answer grows."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import BrowserVisitor, ask_and_wait, send_question, wait_for_script
from tests.browser.writer import Writer

pytestmark = pytest.mark.browser

SENTENCE = "This paragraph has **bold** words and goes on for long enough to be read and selected."
CODE = "```python\n" + "\n".join(f"value_{number} = {number} * 2  # twice" for number in range(9)) + "\n```"
ITEMS = "\n\n".join(f"{number}. {SENTENCE}" for number in range(1, 5))
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


def test_selection_survives_streaming(new_visitor: Callable[..., BrowserVisitor], writer: Writer) -> None:
    page = new_visitor(writer.site).open_tab()
    send_question(page, "A list and some code, please")
    writer.begin()
    writer.write(ITEMS[:150])
    expect(page.locator(".block li").first).to_contain_text("paragraph")
    chosen = page.evaluate(SELECT, ".block li")
    assert len(chosen) == 7
    wait_for_script(page, "kept_selection")
    code = f"\n\n{CODE}"
    writer.write(ITEMS[150:] + code[:60])
    expect(page.locator("figure.code")).to_be_visible()
    assert page.evaluate("getSelection().toString()") == chosen
    expect(page.locator("figure code")).to_contain_text("value_1")
    chosen = page.evaluate(SELECT, "figure code")
    writer.write(code[60:], done=True)
    expect(page.locator("article").last).not_to_have_attribute("aria-busy", "true")
    expect(page.locator("figure code i").first).to_be_visible()
    assert page.evaluate("getSelection().toString()") == chosen


def test_autoscroll_follows_end_unless_scrolled_up(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    send_question(page, PAGES)
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


def test_what_is_pressed_does_not_move_away(new_visitor: Callable[..., BrowserVisitor], writer: Writer) -> None:
    """A click takes a tenth of a second, in which an answer may grow by lines and the page follow its end."""
    page = new_visitor(writer.site, viewport={"width": 800, "height": 500}).open_tab()
    for question in ("First", "Second"):
        send_question(page, question)
        writer.begin()
        writer.write(ITEMS[:180], done=question == "First")
        expect(page.locator(".prose").last).to_contain_text("paragraph")
    main, rating = page.locator("#main"), page.get_by_role("button", name="Good answer")
    page.wait_for_function("() => document.getElementById('main').scrollHeight > innerHeight")
    main.evaluate("(main) => (main.scrollTop = 0)")
    rating.hover()
    page.mouse.down()
    writer.write(ITEMS[180:])
    expect(page.locator(".prose").last.locator("li")).to_have_count(4)
    page.mouse.up()
    expect(rating).to_have_attribute("aria-pressed", "true")
    # Once it is released, the page follows its end again.
    main.evaluate("(main) => (main.scrollTop = 0)")
    item = page.locator(".prose").last.locator("li").last
    item.hover()
    page.mouse.down()
    before = item.bounding_box()
    writer.write("\n\nAnd more." * 3, done=True)
    expect(page.locator(".prose").last).to_contain_text("And more.")
    assert abs(item.bounding_box()["y"] - before["y"]) < 2  # type: ignore[index]
    page.mouse.up()
    assert main.evaluate("(main) => main.scrollTop") == 0


def test_new_text_below_link_scrolls_to_end(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    send_question(page, PAGES)
    below = page.get_by_role("link", name="New text below")
    expect(page.locator(".prose").get_by_text("Number 12.")).to_be_in_viewport()
    expect(below).to_be_hidden()
    page.mouse.move(700, 300)
    page.mouse.wheel(0, -350)
    expect(below).to_be_visible()
    # One comes to it from the box backwards, and it leads to the end, which is followed again.
    page.get_by_role("textbox", name="Message").focus()
    page.keyboard.press("Shift+Tab")
    expect(below).to_be_focused()
    page.keyboard.press("Enter")
    expect(below).to_be_hidden()
    expect(page.locator("#main")).to_be_focused()
    expect(page.locator(".block > p").last).to_be_in_viewport()
    page.mouse.wheel(0, -350)
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    page.evaluate("document.getElementById('main').scrollTop = 0")
    expect(below).to_be_hidden()
    # Where nothing comes, there is nothing to tell.
    page.evaluate("document.getElementById('main').scrollTop = -300")
    page.get_by_role("button", name="Good answer").click()
    expect(page.get_by_role("button", name="Good answer")).to_have_attribute("aria-pressed", "true")
    expect(below).to_be_hidden()


def test_streaming_answer_causes_no_layout_shift(new_visitor: Callable[..., BrowserVisitor], writer: Writer) -> None:
    """From the question to the first word, to the last one, and to what can be done with the answer."""
    page = new_visitor(writer.site).open_tab()
    send_question(page, "First")
    writer.begin()
    writer.write("First", done=True)
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    page.evaluate(
        "window.shift = 0; new PerformanceObserver((list) => list.getEntries().forEach((entry) => {"
        "window.shift += entry.hadRecentInput ? 0 : entry.value })).observe({ type: 'layout-shift' })"
    )
    long = "\n\n".join(f"{number}. {SENTENCE * 3}" for number in range(1, 5))
    for text in ("Some words are here, and more of them come, so that there are a few lines in the end.", long):
        page.get_by_role("textbox", name="Message").fill(text)
        # The box grew with what was typed; that is not what is measured.
        page.wait_for_timeout(300)
        page.evaluate("window.shift = 0")
        page.get_by_role("button", name="Send").click()
        expect(page.locator("#thread .question").last).to_contain_text(text[:40])
        expect(page.get_by_role("button", name="Stop")).to_be_visible()
        writer.begin()
        step = len(text) // 6
        for start in range(0, len(text), step):
            writer.write(text[start : start + step], done=start + step >= len(text))
            page.wait_for_function(
                "length => [...document.querySelectorAll('.prose')].at(-1)?.innerText.length >= length",
                arg=start // 2,
            )
        expect(page.get_by_role("button", name="Send")).to_be_visible()
        # The caret goes from line to line; nothing else moves.
        assert page.evaluate("window.shift") < 0.001


def _await_rest(page: Page, read: Locator) -> None:
    """Wait until the wheel's own movement is over."""
    before = -1.0
    while (now := read.bounding_box()["y"]) != before:  # type: ignore[index]
        before = now
        page.wait_for_timeout(100)


def test_page_load_causes_no_layout_shift(new_visitor: Callable[..., BrowserVisitor]) -> None:
    guest = new_visitor()
    page = guest.open_tab()
    ask_and_wait(page, f"/say {ITEMS}\n\n{CODE}")
    page.add_init_script(
        "window.shift = 0; new PerformanceObserver((list) => list.getEntries().forEach((entry) => {"
        "window.shift += entry.value })).observe({ type: 'layout-shift', buffered: true })"
    )
    for path in (page.url, guest.site.url):
        page.goto(path)
        page.wait_for_timeout(300)
        assert page.evaluate("window.shift") < 0.01
