"""Enter while an answer is written: the message waits below it, in every tab, and is sent when the answer is done."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import BrowserVisitor, send_question
from tests.browser.writer import Writer

pytestmark = pytest.mark.browser


def box(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Message")


def waiting(page: Page) -> Locator:
    return page.locator("#waiting .question")


def press_enter(page: Page, text: str) -> None:
    box(page).fill(text)
    box(page).press("Enter")


def test_enter_while_answer_is_written(writer: Writer, new_visitor: Callable[..., BrowserVisitor]) -> None:
    guest = new_visitor(at=writer.site)
    page = guest.open_tab()
    send_question(page, "One")
    writer.begin()
    writer.write("The first ")
    expect(page.locator(".prose")).to_contain_text("The first")
    later = page.get_by_role("button", name="Send when the answer is done")
    stop = page.get_by_role("button", name="Stop")
    expect(stop).to_be_visible()
    expect(later).to_be_hidden()

    press_enter(page, "Two\n\nlines")
    expect(waiting(page)).to_have_text("Two\n\nlines")
    expect(box(page)).to_have_value("")
    expect(page.locator("#announcer")).to_have_text("Your message is sent when this answer is done.")
    assert page.locator("#pending").count() == 0

    # Back into the box, before what was typed meanwhile.
    box(page).fill("Three")
    page.get_by_role("button", name="Edit the waiting message").click()
    expect(box(page)).to_have_value("Two\n\nlines\n\nThree")
    expect(box(page)).to_be_focused()
    expect(waiting(page)).to_have_count(0)

    # By mouse or touch: Send is there as soon as there is something to send, and Stop stays.
    expect(stop).to_be_visible()
    later.click()
    expect(waiting(page)).to_have_text("Two\n\nlines\n\nThree")
    page.get_by_role("button", name="Remove the waiting message").click()
    expect(waiting(page)).to_have_count(0)
    expect(box(page)).to_be_focused()

    # Another tab sees it come, and it survives a reload.
    other = guest.open_tab(page.url.removeprefix(guest.site.url))
    expect(other.locator(".prose")).to_contain_text("The first")
    press_enter(page, "Four")
    writer.write("answer ")
    expect(waiting(other)).to_have_text("Four")
    page.reload()
    expect(waiting(page)).to_have_text("Four")
    press_enter(other, "Five")
    expect(waiting(other)).to_have_text("Four\n\nFive")

    writer.write("is done.", done=True)
    for tab in (page, other):
        expect(tab.locator(".prose").first).to_have_text("The first answer is done.")
    writer.post_waiting()
    for tab in (page, other):
        expect(tab.locator("#thread .question").last).to_have_text("Four\n\nFive")
        expect(waiting(tab)).to_have_count(0)
        expect(tab.locator("#thread article")).to_have_count(4)
        expect(tab.get_by_role("button", name="Stop")).to_be_visible()
    writer.begin()
    writer.write("The second.", done=True)
    for tab in (page, other):
        expect(tab.locator(".prose").last).to_have_text("The second.")
        expect(tab.get_by_role("button", name="Send")).to_be_visible()


def test_runner_posts_it_and_send_now_stops(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    send_question(page, "/slow " + " ".join(f"word{number}" for number in range(100)))
    expect(page.locator(".prose")).to_contain_text("word3")
    press_enter(page, "/slow " + " ".join(f"p{number}" for number in range(700)))
    expect(waiting(page)).to_contain_text("p0")
    expect(page.locator(".prose").last).to_contain_text("p3")
    expect(page.locator(".prose").first).to_contain_text("word99")
    press_enter(page, "/say The end.")
    expect(waiting(page)).to_have_text("/say The end.")
    page.get_by_role("button", name="Send now").click()
    expect(page.locator(".prose").last).to_have_text("The end.")
    expect(page.locator(".status-note")).to_have_text("You stopped this answer.")
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    expect(page.locator("#thread .question")).to_have_count(3)


def test_after_stop_it_stays_until_one_decides(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    send_question(page, "/slow " + " ".join(f"w{number}" for number in range(700)))
    expect(page.locator(".prose")).to_contain_text("w3")
    press_enter(page, "/say Next.")
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.locator("#waiting .status-note")).to_have_text("Not sent, because the answer was not finished")
    expect(page.locator("#announcer")).to_contain_text("Your next message was not sent.")
    page.get_by_role("button", name="Send now").click()
    expect(page.locator(".prose").last).to_have_text("Next.")
    expect(waiting(page)).to_have_count(0)
