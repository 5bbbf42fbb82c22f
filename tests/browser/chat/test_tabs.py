"""Two tabs of one visitor tell the same, and a tab that was away catches up."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import BrowserVisitor, ask_and_wait, choose_action, send_question
from tests.browser.writer import Writer

pytestmark = pytest.mark.browser

# What a browser does when a tab goes to the background and comes back; a headless one shows all tabs at once.
HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def look_at(page: Page) -> None:
    """Bring a tab to the front again, once the pause between two refreshes is over."""
    page.wait_for_timeout(1100)
    page.evaluate(HIDE, False)


def texts(page: Page) -> list[str]:
    """The answers on a page."""
    return page.locator(".prose").all_inner_texts()


def test_returning_tab_is_refreshed(new_visitor: Callable[..., BrowserVisitor]) -> None:
    guest = new_visitor()
    one = guest.open_tab()
    ask_and_wait(one, "/say First")
    two = guest.open_tab(one.url.removeprefix(guest.site.url))
    one.evaluate(HIDE, True)
    ask_and_wait(two, "/say Second")
    choose_action(two, "/say First", "link", "Rename")
    two.get_by_role("textbox", name="Title").fill("Renamed elsewhere")
    two.keyboard.press("Enter")
    expect(two).to_have_title("Renamed elsewhere · chatsite")
    assert texts(one) == ["First"]
    look_at(one)
    expect(one.locator(".prose")).to_have_text(["First", "Second"])
    expect(one).to_have_title("Renamed elsewhere · chatsite")
    expect(one.locator("#conversations .row-title")).to_have_text(["Renamed elsewhere"])
    # Once more, and nothing comes twice.
    look_at(one)
    one.wait_for_timeout(400)
    assert texts(one) == ["First", "Second"]


def test_stale_tab_gets_missing_messages_when_posting(new_visitor: Callable[..., BrowserVisitor]) -> None:
    guest = new_visitor()
    one = guest.open_tab()
    ask_and_wait(one, "/say First")
    two = guest.open_tab(one.url.removeprefix(guest.site.url))
    ask_and_wait(two, "/say Second")
    ask_and_wait(one, "/say Third")
    assert texts(one) == ["First", "Second", "Third"]
    look_at(two)
    expect(two.locator(".prose")).to_have_text(["First", "Second", "Third"])


def test_answer_continues_while_tab_is_hidden(new_visitor: Callable[..., BrowserVisitor], writer: Writer) -> None:
    page = new_visitor(writer.site).open_tab()
    send_question(page, "Many words, please")
    writer.begin()
    writer.write(" ".join(f"word{number}" for number in range(1, 21)))
    expect(page.locator(".prose")).to_contain_text("word20")
    page.evaluate(HIDE, True)
    writer.write("".join(f" word{number}" for number in range(21, 391)))
    # It is not told of what is written meanwhile.
    page.wait_for_timeout(1000)
    assert "word390" not in page.locator(".prose").inner_text()
    writer.write("".join(f" word{number}" for number in range(391, 401)), done=True)
    look_at(page)
    expect(page.locator(".prose")).to_contain_text("word400")
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    words = page.locator(".prose").inner_text().split()
    assert words == [f"word{number}" for number in range(1, 401)]


def test_two_tabs_follow_answer_and_either_can_stop(new_visitor: Callable[..., BrowserVisitor]) -> None:
    guest = new_visitor()
    one = guest.open_tab()
    send_question(one, "/slow " + " ".join(f"word{number}" for number in range(1, 401)))
    expect(one.locator(".prose")).to_contain_text("word20")
    two = guest.open_tab(one.url.removeprefix(guest.site.url))
    expect(two.locator(".prose")).to_contain_text("word60")
    two.get_by_role("button", name="Stop").click()
    for page in (one, two):
        expect(page.locator(".status-note")).to_have_text("You stopped this answer.")
        expect(page.get_by_role("button", name="Send")).to_be_visible()
    assert texts(one) == texts(two)


def test_posting_to_conversation_deleted_elsewhere_shows_error(new_visitor: Callable[..., BrowserVisitor]) -> None:
    guest = new_visitor(refused=True)
    one = guest.open_tab()
    ask_and_wait(one, "/say First")
    two = guest.open_tab(one.url.removeprefix(guest.site.url))
    choose_action(two, "/say First", "button", "Delete")
    expect(two.get_by_text("Your chats will appear here.")).to_be_visible()
    send_question(one, "And then?")
    expect(one.locator("#notice")).to_have_text("This chat does not exist or was deleted.")
    expect(one.get_by_role("textbox", name="Message")).to_have_value("And then?")
