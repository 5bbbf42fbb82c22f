"""axe-core finds nothing in what opens, waits, asks or refuses, in both languages, in light and in dark."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.accessibility.axe import find_violations
from tests.browser.accessibility.conftest import Furnished, browsing
from tests.browser.chat.test_dropped_files import EXPORT, PICTURE, drop
from tests.browser.full_account import make_public_id
from tests.support.served_site import ServedSite

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

ENDINGS, VERSIONS, COMPARED, LONG = (
    f"/conversations/{make_public_id(name)}" for name in ("endings", "versions", "compared", "long")
)
# Read as they stand, without anything opened on them.
PAGES = (
    ENDINGS,
    VERSIONS,
    COMPARED,
    f"{VERSIONS}/branches",
    f"/messages/{make_public_id('ver-a2')}/differences",
    "/conversations",
    "/models",
    "/settings",
)
EXPORT_TEXT = json.dumps(EXPORT)
ASK_SCRIPT = "(address) => htmx.ajax('GET', address, { target: '#notice', swap: 'innerHTML' })"


@dataclass
class Walk:
    """A tab that is led from state to state, and what is wrong with each of them.

    Places are found by what they are and not by what is written on them, which differs between the languages.
    """

    page: Page
    faults: dict[str, list[str]] = field(default_factory=dict)

    def find(self, selector: str) -> Locator:
        """What a selector names."""
        return self.page.locator(selector)

    def look(self, state: str, *shown: str) -> None:
        """Wait until everything that belongs to a state is seen, and note what is wrong with it."""
        for selector in shown:
            expect(self.find(selector).first).to_be_visible()
        if found := find_violations(self.page):
            self.faults[state] = found

    def send(self, text: str) -> None:
        """Write a message and send it by Enter."""
        self.find("#text").fill(text)
        self.find("#text").press("Enter")


@pytest.fixture(scope="module", params=["en-GB", "es-ES"])
def furnished_tab(
    request: pytest.FixtureRequest, chromium: Browser, managed_site: ServedSite, furnished: Furnished
) -> Iterator[Page]:
    """A tab of somebody who has one of everything, in each language."""
    with browsing(chromium, managed_site, request.param, furnished.cookies) as context:
        page = context.new_page()
        page.goto("/")
        expect(page.locator("html")).to_have_attribute("lang", request.param[:2])
        yield page


@pytest.fixture
def walk(furnished_tab: Page) -> Walk:
    """A new walk; a test ends it without faults."""
    return Walk(furnished_tab)


def test_states_of_messages_have_no_violations(walk: Walk) -> None:
    page = walk.page
    for path in PAGES:
        page.goto(path)
        walk.look(path, "h1")
    page.goto(VERSIONS)
    walk.find(".edit-button").last.click()
    expect(walk.find(".edit textarea")).to_be_focused()
    walk.look("a question that is edited", ".edit textarea")
    page.keyboard.press("Escape")
    expect(walk.find(".edit")).to_have_count(0)
    for button in (".regenerate-menu", ".more-button"):
        walk.find(button).last.click()
        walk.look(f"the menu of {button}", "#answer-menu .action")
        page.keyboard.press("Escape")
        expect(walk.find("#answer-menu")).to_be_hidden()
    walk.find(".rating [aria-pressed=false]").last.click()
    walk.look("a rating with its note", ".rating-note")
    page.goto(ENDINGS)
    walk.find(".signature").first.click()
    walk.look("what the model saw", "#report-panel .report")
    assert walk.faults == {}


def test_menus_and_sheets_have_no_violations(walk: Walk) -> None:
    page = walk.page
    page.goto(ENDINGS)
    links = walk.find("#conversation-actions [data-sheet]")
    expect(links).to_have_count(5)
    for number in range(5):
        walk.find("#conversation-menu > button").click()
        if not number:
            walk.look("the menu of the conversation", "#conversation-actions")
        address = links.nth(number).get_attribute("href") or ""
        links.nth(number).click()
        walk.look(f"the sheet of {address}", "#sheet h1")
        page.keyboard.press("Escape")
        expect(walk.find("#sheet")).to_be_hidden()
    row = walk.find("#conversations .row").first
    row.hover()
    row.locator(".row-action").click()
    walk.look("the menu of a row", "#row-menu .action")
    walk.find("#row-menu [hx-get$=tags]").click()
    walk.look("the tags in a row", "#conversations .row-form")
    page.keyboard.press("Escape")
    expect(walk.find("#conversations .row-form")).to_have_count(0)
    walk.find(".palette-open").click()
    walk.look("the palette", "#palette .palette-box")
    walk.find(".palette-box").fill("river")
    walk.look("what the palette finds", "#palette mark")
    page.keyboard.press("Escape")
    walk.find(".shortcuts-open").click()
    walk.look("the shortcuts", "#shortcuts kbd")
    page.keyboard.press("Escape")
    page.goto(LONG)
    expect(walk.find(".outline-item")).to_have_count(50)
    walk.find(".outline-item[aria-current]").focus()
    walk.look("the questions of a long conversation", ".outline input")
    page.keyboard.press("Control+f")
    expect(walk.find(".chat-search input[name=q]")).to_be_focused()
    page.keyboard.type("many")
    walk.look("the search over the conversation", ".chat-search mark")
    assert walk.faults == {}


def test_states_of_the_composer_have_no_violations(walk: Walk) -> None:
    page = walk.page
    page.goto("/")
    walk.look("the front page", "#welcome")
    walk.find("#model-picker-name").click()
    walk.look("who answers", "#model-picker-list")
    page.goto("/")
    for name in ("read_with", "dictation", "notify"):
        page.evaluate(ASK_SCRIPT, f"/preferences/{name}/question")
        walk.look(f"the question before {name}", f".permission[data-name={name}]")
    box = walk.find("#text")
    most = int(box.get_attribute("data-max-length") or 0)
    drop(
        page,
        PICTURE,
        ("paper.pdf", "application/pdf", "%PDF"),
        ("data.bin", "application/octet-stream", [0, 255]),
        ("long.txt", "text/plain", "x" * (most + 1)),
        ("conversations.json", "application/json", EXPORT_TEXT),
    )
    walk.look("files that are not taken", "#notice [data-kind=too-long]", "#notice [data-kind=import]")
    box.fill("x" * (most + 1))
    walk.look("a text that is too long", "#length-error")
    walk.send("/slow " + "A word and another word. " * 300)
    expect(walk.find(".prose")).to_contain_text("another")
    walk.send("/say Next.")
    walk.look("a waiting message", "#waiting .question")
    walk.find(".stop").click()
    expect(walk.find("#thread [aria-busy=true]")).to_have_count(0)
    walk.look("a message that was not sent", "#waiting .status-note")
    walk.find("#waiting button").last.click()
    expect(walk.find("#waiting .question")).to_have_count(0)
    assert walk.faults == {}


def test_leaving_a_temporary_chat_has_no_violations(walk: Walk) -> None:
    walk.page.goto("/?temporary=1")
    walk.send("/say Soon gone")
    expect(walk.find(".prose")).to_have_text("Soon gone")
    walk.look("a temporary chat", "#temporary form")
    walk.find("#sidebar .entry").first.click()
    walk.look("whether it is left", "#temporary-question")
    assert walk.faults == {}


def test_narrow_states_have_no_violations(walk: Walk) -> None:
    page = walk.page
    page.set_viewport_size({"width": 320, "height": 640})
    page.goto(VERSIONS)
    walk.find(".more-button").last.click()
    walk.look("the menu of an answer", "#answer-menu .action")
    page.keyboard.press("Escape")
    walk.find("#conversation-menu > button").click()
    walk.find("#conversation-actions [data-sheet]").last.click()
    walk.look("the settings of a chat", "#sheet h1")
    page.keyboard.press("Escape")
    walk.find(".topbar .menu").click()
    walk.look("the drawer", "#sidebar")
    page.set_viewport_size({"width": 1280, "height": 800})
    assert walk.faults == {}
