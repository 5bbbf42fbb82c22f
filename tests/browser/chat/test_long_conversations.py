"""Long conversations: pages load by themselves and nothing that is read moves; links and days lead to a message."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect
from pysqlite3 import dbapi2 as sqlite

from tests.browser.conftest import BrowserVisitor, ask_and_wait

pytestmark = pytest.mark.browser

LENGTH = 300


def lengthen(instance: Path, conversation: str) -> list[str]:
    """Add messages to a conversation, as if it had gone on for years; returns their names."""
    names = [secrets.token_urlsafe(12) for _ in range(LENGTH)]
    database = sqlite.connect(str(instance / "chatsite.db"), timeout=20)
    with database:
        owner, above = database.execute(
            "SELECT id, active_leaf_id FROM conversation WHERE public_id = ?", (conversation,)
        ).fetchone()
        for number, name in enumerate(names):
            role = "assistant" if number % 2 else "user"
            text = f"Number {number}. " + "It goes on for a line or two, as such messages do. " * (number % 4)
            row = (name, owner, above, role, text, f"20{number // 12 + 30}-{number % 12 + 1:02}-01 12:00:00.000000")
            above = database.execute(
                "INSERT INTO message"
                " (public_id, conversation_id, parent_id, is_active, in_comparison, role, text, created_at)"
                " VALUES (?, ?, ?, 1, 0, ?, ?, ?)",
                row,
            ).lastrowid
        database.execute("UPDATE conversation SET active_leaf_id = ? WHERE id = ?", (above, owner))
    database.close()
    return names


def begin(guest: BrowserVisitor) -> tuple[Page, list[str]]:
    """A page with a long conversation, at its end."""
    page = guest.open_tab()
    ask_and_wait(page, "/say The very beginning")
    names = lengthen(guest.site.instance, page.url.rpartition("/")[2])
    page.reload()
    return page, names


def number(page: Page, which: int) -> Locator:
    """One of the messages that were added; its heading and the rail beside it have the same words."""
    return page.locator("#thread").get_by_text(f"Number {which}.").last


def test_earlier_and_later_pages_load_without_layout_shift(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page, names = begin(new_visitor())
    expect(number(page, 299)).to_be_in_viewport()
    expect(number(page, 200)).to_have_count(0)
    _follow(page, "load-more-before")
    expect(page.get_by_role("textbox", name="Message")).to_be_visible()
    page.goto(f"/messages/{names[100]}")
    expect(page.locator(":target")).to_contain_text("Number 100.")
    expect(number(page, 100)).to_be_in_viewport()
    expect(page.get_by_role("textbox", name="Message")).to_be_hidden()
    _follow(page, "load-more-after")
    _follow(page, "load-more-before")
    page.get_by_role("link", name="Newest messages").click()
    expect(number(page, 299)).to_be_in_viewport()
    # Where the last page is reached, one can ask at once.
    page.goto(f"/messages/{names[220]}")
    _follow(page, "load-more-after")
    expect(number(page, 299)).to_be_attached()
    ask_and_wait(page, "/say One thing more")
    expect(page.locator("article")).to_have_count(111)


def _follow(page: Page, side: str) -> None:
    """Go to one edge of what is there: more loads beyond it, and the message at the edge stays where it is."""
    edge = page.evaluate(
        """(side) => {
          const main = document.getElementById("main"), place = document.getElementById(side);
          const message = side === "load-more-after" ? place.previousElementSibling : place.nextElementSibling;
          main.scrollTop = side === "load-more-after" ? 0 : -main.scrollHeight;
          const places = window.places = [];
          (function look() {
            places.push(message.getBoundingClientRect().top);
            if (places === window.places) requestAnimationFrame(look);
          })();
          return message.id;
        }""",
        side,
    )
    beyond = f"#{edge} + article" if side == "load-more-after" else f"article:has(+ #{edge})"
    expect(page.locator(beyond)).to_be_attached()
    page.wait_for_timeout(200)
    places = page.evaluate("window.places")
    assert max(places) - min(places) < 2, places
    expect(page.locator(f"#{edge}")).to_be_in_viewport()


def test_list_of_questions_leads_to_start_day_and_end(new_visitor: Callable[..., BrowserVisitor]) -> None:
    """Without JavaScript, and where there is no room for the rail, it is a page."""
    page, _ = begin(new_visitor(java_script_enabled=False))
    conversation = page.url
    page.get_by_role("button", name="Chat menu").click()
    page.get_by_role("link", name="Questions").click()
    questions = page.locator(".page-body .items a")
    expect(questions).to_have_count(60)
    expect(questions.nth(0)).to_have_text("/say The very beginning")
    page.get_by_role("link", name="First message").click()
    expect(page.locator(".prose").get_by_text("The very beginning")).to_be_in_viewport()
    expect(page.locator(":target")).to_have_count(1)
    page.goto(f"{conversation}/questions")
    page.get_by_label("Jump to date").fill("2041-02-15")
    page.get_by_role("button", name="Go", exact=True).click()
    expect(page.locator(":target")).to_contain_text("Number 134.")
    expect(page.locator(":target")).to_be_in_viewport()
    page.goto(f"{conversation}/questions")
    page.get_by_role("link", name="Latest message").click()
    expect(number(page, 299)).to_be_in_viewport()


def test_pagination_links_work_without_javascript(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page, _ = begin(new_visitor(java_script_enabled=False))
    page.get_by_role("link", name="Earlier messages").click()
    expect(number(page, 239)).to_be_in_viewport()
    expect(page.get_by_role("textbox", name="Message")).to_be_hidden()
    page.get_by_role("link", name="Later messages").click()
    expect(number(page, 240)).to_be_in_viewport()
    expect(number(page, 299)).to_be_attached()
    expect(page.get_by_role("textbox", name="Message")).to_be_visible()
    ask_and_wait(page, "/say One thing more")
