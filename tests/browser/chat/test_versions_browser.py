"""Versions of questions and answers, as they are made, walked between, rated and taken elsewhere."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import BrowserVisitor, ask_and_wait, send_question

pytestmark = pytest.mark.browser


def edit(page: Page, nth: int, text: str) -> None:
    """Ask a question in other words."""
    page.get_by_role("link", name="Edit this question").nth(nth).click()
    page.get_by_role("textbox", name="Edit question").fill(text)
    page.locator(".edit").get_by_role("button", name="Send").click()


def answers(page: Page, *texts: str) -> None:
    """The answers of the page are these."""
    expect(page.locator("article.message-assistant .prose")).to_have_text(list(texts))
    expect(page.locator("[aria-busy=true]")).to_have_count(0)


def test_edited_question_keeps_both_versions(new_visitor: Callable[..., BrowserVisitor]) -> None:
    guest = new_visitor(refused=True)
    page = guest.open_tab()
    ask_and_wait(page, "/say First")
    ask_and_wait(page, "/say Second")
    page.get_by_role("link", name="Edit this question").first.click()
    box = page.get_by_role("textbox", name="Edit question")
    expect(box).to_be_focused()
    expect(box).to_have_value("/say First")
    box.fill(" ")
    page.locator(".edit").get_by_role("button", name="Send").click()
    expect(page.locator(".edit")).to_contain_text("Write a message first.")
    page.get_by_role("link", name="Cancel").click()
    expect(page.get_by_role("link", name="Edit this question").first).to_be_focused()
    edit(page, 0, "/say Other")
    answers(page, "Other")
    page.get_by_role("button", name="Previous version").click()
    answers(page, "First", "Second")
    expect(page.get_by_role("button", name="Next version")).to_be_focused()
    expect(page.locator("#announcer")).to_have_text("Version 1 of 2")
    page.keyboard.press("Enter")
    answers(page, "Other")
    expect(page.get_by_role("button", name="Previous version")).to_be_focused()
    page.reload()
    answers(page, "Other")
    # What is asked follows the branch that is seen, here and in a tab that shows another one.
    page.get_by_role("button", name="Previous version").click()
    answers(page, "First", "Second")
    second = guest.open_tab(page.url.removeprefix(guest.site.url))
    second.get_by_role("button", name="Next version").click()
    answers(second, "Other")
    ask_and_wait(page, "/say Third")
    answers(page, "First", "Second", "Third")
    second.reload()
    answers(second, "First", "Second", "Third")


def test_typed_text_survives_version_switch(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    ask_and_wait(page, "/say First")
    edit(page, 0, "/say Other")
    answers(page, "Other")
    box = page.get_by_role("textbox", name="Message")
    box.fill("Not sent yet")
    page.get_by_role("button", name="Previous version").click()
    answers(page, "First")
    expect(box).to_have_value("Not sent yet")


def test_regenerated_answer_keeps_old_version(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    ask_and_wait(page, "/say Only this")
    page.get_by_role("button", name="Regenerate").click()
    expect(page.get_by_text("2/2")).to_be_visible()
    answers(page, "Only this")
    page.get_by_role("button", name="Good answer").click()
    expect(page.get_by_role("button", name="Good answer")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("button", name="Good answer")).to_be_focused()
    page.get_by_role("textbox", name="Add a note").fill("It is short")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#announcer")).to_have_text("Note saved.")
    expect(page.get_by_role("textbox", name="Add a note")).to_have_count(0)
    page.get_by_role("button", name="Previous version").click()
    expect(page.get_by_text("1/2")).to_be_visible()
    expect(page.get_by_role("button", name="Good answer")).to_have_attribute("aria-pressed", "false")
    page.get_by_role("button", name="Next version").click()
    expect(page.get_by_role("button", name="Good answer")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("link", name="More", exact=True).click()
    expect(page.get_by_role("textbox", name="Add a note")).to_have_value("It is short")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Good answer").click()
    expect(page.get_by_role("button", name="Good answer")).to_have_attribute("aria-pressed", "false")
    page.get_by_role("button", name="Bad answer").click()
    page.get_by_role("button", name="Close", exact=True).click()
    expect(page.get_by_role("textbox", name="Add a note")).to_have_count(0)
    # Another tab walks away from an answer while it is written: it is written to its end all the same.
    send_question(page, "/long 900")
    expect(page.locator("[aria-busy=true]")).to_have_count(1)
    other = page.context.new_page()
    other.goto(page.url)
    other.get_by_role("button", name="Previous version").click()
    answers(other, "Only this")
    expect(page.locator("[aria-busy=true]")).to_have_count(0)
    expect(page.locator(".prose").last).to_contain_text("word900")


def test_branch_becomes_new_conversation(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    ask_and_wait(page, "/say First")
    ask_and_wait(page, "/say Second")
    before = page.url
    page.locator("article").nth(1).get_by_role("link", name="More", exact=True).click()
    page.get_by_role("button", name="Branch into a new chat").click()
    page.wait_for_url(lambda url: url != before)
    answers(page, "First")
    ask_and_wait(page, "/say Elsewhere")
    answers(page, "First", "Elsewhere")
    page.goto(before)
    answers(page, "First", "Second")


def test_versions_work_without_javascript(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor(java_script_enabled=False).open_tab()
    ask_and_wait(page, "/say First")
    ask_and_wait(page, "/say Second")
    edit(page, 0, "/say Other")
    answers(page, "Other")
    page.get_by_role("button", name="Previous version").click()
    answers(page, "First", "Second")
    page.locator("article").last.get_by_role("button", name="Regenerate").click()
    expect(page.get_by_text("2/2")).to_be_visible()
    answers(page, "First", "Second")
    page.locator("article").last.get_by_role("button", name="Bad answer").click()
    expect(page.get_by_role("button", name="Bad answer").last).to_have_attribute("aria-pressed", "true")
    page.locator("article").last.get_by_role("link", name="More", exact=True).click()
    page.get_by_role("link", name="Link to this answer").click()
    expect(page.locator(":target")).to_contain_text("Second")
    page.locator("article").nth(1).get_by_role("link", name="More", exact=True).click()
    expect(page.get_by_text("Copy as Markdown")).to_be_hidden()
    page.get_by_role("button", name="Branch into a new chat").click()
    answers(page, "First")
