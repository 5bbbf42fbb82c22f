"""Input methods (Japanese, Chinese, Korean): the keys with which one composes a word do nothing else."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import CDPSession, Page, expect

from tests.browser.conftest import BrowserVisitor, ask_and_wait

CODES = {"Escape": 27, "Home": 36, "End": 35, "ArrowUp": 38, "ArrowDown": 40, "Enter": 13}
# Clicks that a script makes happen at once, so they are counted as soon as the key was handled.
COUNT_CLICKS = "() => { window.clicks = 0; addEventListener('click', () => window.clicks++, true) }"


def press_while_composing(page: Page, keyboard: CDPSession) -> None:
    """Press each key that has a meaning here while a word is being composed; none clicks or moves the focus."""
    focused = page.evaluate_handle("document.activeElement")
    page.evaluate("window.clicks = 0")
    for key, code in CODES.items():
        keyboard.send("Input.imeSetComposition", {"text": "へん", "selectionStart": 2, "selectionEnd": 2})
        event = {"type": "rawKeyDown", "key": key, "code": key, "windowsVirtualKeyCode": code}
        keyboard.send("Input.dispatchKeyEvent", event)
        assert page.evaluate("(element) => document.activeElement === element", focused), key
        assert page.evaluate("window.clicks") == 0, key
    keyboard.send("Input.imeSetComposition", {"text": "", "selectionStart": 0, "selectionEnd": 0})


def test_keys_of_a_composition_do_nothing_else(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    ask_and_wait(page, "/say hello")
    keyboard = page.context.new_cdp_session(page)
    page.evaluate(COUNT_CLICKS)
    page.locator("#text").press("End")
    press_while_composing(page, keyboard)
    expect(page.locator(".question")).to_have_count(1)
    page.locator("#text").fill("")

    page.get_by_role("link", name="Edit this question").click()
    box = page.get_by_role("textbox", name="Edit question")
    box.press("End")
    press_while_composing(page, keyboard)
    expect(box).to_have_value("/say hello")
    # The next Escape is the reader's own.
    box.press("Escape")
    expect(box).to_have_count(0)

    page.keyboard.press("Control+k")
    search = page.get_by_role("combobox", name="What are you looking for?")
    expect(search).to_be_focused()
    press_while_composing(page, keyboard)
    expect(search).to_be_visible()
