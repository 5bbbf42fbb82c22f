"""The whole of it without a mouse: nothing but `page.keyboard`, and the focus is never lost."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.conftest import BrowserVisitor, wait_for_script

MOST_TABS = 90
# What has the focus, and whether one sees that: by an outline, its own or that of the box around a field.
HELD = """() => {
    const held = document.activeElement;
    const seen = [held, held.closest(".composer-box")].filter(Boolean).map((each) => getComputedStyle(each)).some(
        ({ outlineStyle, outlineWidth }) => outlineStyle !== "none" && parseFloat(outlineWidth) > 0);
    return [held === document.body, seen || held.matches("#text, [tabindex='-1'], .palette-box"), held.outerHTML];
}"""
NAME = """() => {
    const held = document.activeElement;
    const own = held.ariaLabel || held.textContent || held.placeholder || held.labels?.[0]?.innerText || "";
    return own.trim().replace(/\\s+/g, " ");
}"""


def check(page: Page) -> None:
    """The focus is somewhere, and one sees where."""
    lost, seen, what = page.evaluate(HELD)
    assert not lost
    assert seen, what


def name(page: Page) -> str:
    """What the element with the focus is called."""
    return str(page.evaluate(NAME))


def tab_to(page: Page, wanted: str, key: str = "Tab") -> None:
    """Tab until something of that name has the focus."""
    met = []
    for _ in range(MOST_TABS):
        page.keyboard.press(key)
        met.append(name(page))
        if met[-1] == wanted:
            check(page)
            return
    raise AssertionError(f"{wanted} is not among {met}")


def held(page: Page, wanted: str) -> None:
    """Something of that name has the focus, soon."""
    page.wait_for_function(f"(wanted) => ({NAME})() === wanted", arg=wanted)
    check(page)


def finished(page: Page) -> None:
    """The last answer is finished."""
    expect(page.locator("article.message-assistant").last).not_to_have_attribute("aria-busy", "true")


def test_whole_visit_by_keyboard_only(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    expect(page.locator("#text")).to_be_focused()
    page.keyboard.type("/slow many words")
    page.keyboard.insert_text(" many words" * 300)
    page.keyboard.press("Enter")
    expect(page.locator("article.message-assistant .block").first).to_be_visible()
    tab_to(page, "Stop")
    page.keyboard.press("Enter")
    expect(page.locator(".status-note")).to_have_text("You stopped this answer.")
    held(page, "Send")

    page.reload()
    expect(page.locator("#text")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#main")).to_be_focused()
    tab_to(page, "Edit this question")
    page.keyboard.press("Enter")
    held(page, "Edit question")
    page.keyboard.press("Escape")
    held(page, "Edit this question")
    page.keyboard.press("Enter")
    held(page, "Edit question")
    page.keyboard.press("Control+a")
    page.keyboard.type("/say Something else")
    tab_to(page, "Send")
    page.keyboard.press("Enter")
    expect(page.locator(".prose")).to_have_text("Something else")
    finished(page)
    check(page)
    page.keyboard.press("Escape")
    tab_to(page, "Previous version")
    page.keyboard.press("Enter")
    held(page, "Next version")
    page.keyboard.press("Enter")
    expect(page.locator(".prose")).to_have_text("Something else")
    held(page, "Previous version")

    tab_to(page, "Good answer")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Good answer")).to_have_attribute("aria-pressed", "true")
    held(page, "Good answer")
    tab_to(page, "Add a note (only on this server)")
    page.keyboard.type("Clear")
    page.keyboard.press("Enter")
    held(page, "Good answer")
    keep_in_order(page)


def keep_in_order(page: Page) -> None:
    """Rename, search, delete and take back, and choose how the site looks."""
    tab_to(page, "New chat", "Shift+Tab")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    assert name(page).startswith("Actions for")
    page.keyboard.press("Enter")
    expect(page.locator("#row-menu .action").first).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator(".row-action").first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#row-menu .action").first).to_be_focused()
    tab_to(page, "Rename")
    page.keyboard.press("Enter")
    held(page, "Title")
    page.keyboard.press("Control+a")
    page.keyboard.type("A walk by the sea")
    page.keyboard.press("Enter")
    held(page, "Undo: Renamed.")
    expect(page.get_by_role("heading", level=1)).to_have_text("A walk by the sea")

    page.keyboard.press("Control+k")
    page.keyboard.type("something")
    expect(page.locator("#palette mark").first).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"#message-"))

    page.keyboard.press("Control+k")
    page.keyboard.type("delete this")
    expect(page.locator(".palette-name").first).to_have_text("Delete this chat")
    expect(page.locator("#palette-results")).to_have_attribute("data-query", "delete this")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/\?undo="))
    held(page, "Undo: “A walk by the sea” moved to trash.")
    page.keyboard.press("Enter")
    expect(page.locator("#conversations .row-title")).to_have_text("A walk by the sea")
    # The page to which Undo leads.
    expect(page.get_by_role("heading", level=1)).to_have_text("A walk by the sea")
    check(page)

    page.keyboard.press("Control+k")
    page.keyboard.type("preferences")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Settings")
    tab_to(page, "System")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#theme-dark")).to_be_checked()
    held(page, "Dark")


def press(page: Page, role: str, words: str, held_then: str) -> None:
    """Press Enter on something, whose place may be taken by something else, and see where the focus is then."""
    page.get_by_role(role, name=words, exact=True).locator("visible=true").last.focus()  # type: ignore[arg-type]
    page.keyboard.press("Enter")
    page.wait_for_function(f"(wanted) => ({NAME})() === wanted", arg=held_then)


def test_replaced_elements_pass_focus_on(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    expect(page.get_by_role("textbox", name="Message")).to_be_focused()
    page.keyboard.type("/slow words")
    page.keyboard.insert_text(" words" * 500)
    page.keyboard.press("Enter")
    expect(page.locator("article.message-assistant .block").first).to_be_visible()
    press(page, "button", "Stop", "Send")
    press(page, "button", "Continue", "Stop")
    press(page, "button", "Stop", "Send")
    press(page, "button", "Try again", "Stop")
    press(page, "button", "Stop", "Send")
    press(page, "button", "Chat menu", "Rename")
    press(page, "button", "Pin", "Undo: Pinned.")
    page.keyboard.press("Enter")
    held(page, "Change undone.")
    page.goto("/tags")
    page.get_by_role("textbox").last.focus()
    page.keyboard.type("Work")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Change Work")).to_be_visible()
    check(page)
    page.goto("/conversations")
    page.get_by_role("checkbox").first.focus()
    page.keyboard.press("Space")
    press(page, "button", "Archive", "Undo: Archived.")
    page.goto("/archive")
    page.get_by_role("button", name=re.compile("^Delete")).focus()
    page.keyboard.press("Enter")
    page.wait_for_function(f"() => ({NAME})().endsWith('moved to trash.')")
    check(page)
    page.goto("/trash")
    page.get_by_role("button", name="Empty trash").focus()
    page.keyboard.press("Enter")
    press(page, "button", "Delete permanently", "Deleted permanently.")


def test_escape_closes_only_model_picker(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    expect(page.locator("#text")).to_be_focused()
    page.keyboard.type("Half a thought")
    page.locator("#model-picker summary").focus()
    wait_for_script(page, "model_picker")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    expect(page.locator("#model-picker-list")).to_be_hidden()
    expect(page.locator("#model-picker summary")).to_be_focused()
    page.keyboard.press("s")
    expect(page.locator("#text")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#main")).to_be_focused()
    assert sorted(page.locator("#text").input_value()) == sorted("Half a thoughts")
