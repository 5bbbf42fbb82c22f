"""axe-core finds nothing on any page, in any state, in light and in dark."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, expect

from tests.browser.axe import scan
from tests.browser.conftest import SECONDS, act, ask, serve
from tests.browser.life import Life, furnish, key
from tests.site import Site

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

ENDINGS, VERSIONS, COMPARED, LONG, RTL = (
    f"/conversations/{key(name)}" for name in ("endings", "versions", "compared", "long", "mine")
)
# What answers with something that is no page of its own: a fragment, a file, a stream, or where to go.
NO_PAGES = {
    "/answerer",
    "/conversations/<public_id>/row",
    "/healthz",
    "/manifest/<language>.webmanifest",
    "/messages/<public_id>/stream",
    "/messages/<public_id>/text",
    "/model/status",
    "/models/<path:name>/weights",
    "/readyz",
    "/search/quick",
    "/shares/<public_id>",
    "/static/<path:filename>",
    "/styleguide.css",
    "/sw.js",
}


@dataclass
class Furnished:
    """A browser whose visitor has one of everything."""

    context: BrowserContext
    life: Life

    def pages(self) -> dict[str, list[str]]:
        """The addresses of all pages, by their rule; some in more than one state."""
        life = self.life
        return {
            "/": ["/", "/?temporary=1", "/?persona=cook"],
            "/archive": ["/archive"],
            "/conversations": ["/conversations?all=1", f"/conversations?tag={life.tag}"],
            "/conversations/<public_id>": [ENDINGS, VERSIONS, COMPARED, RTL, f"/conversations/{life.temporary}"],
            "/conversations/<public_id>/actions": [f"{ENDINGS}/actions"],
            "/conversations/<public_id>/export": [f"{ENDINGS}/export"],
            "/conversations/<public_id>/settings": [f"{ENDINGS}/settings"],
            "/conversations/<public_id>/shares": [f"{ENDINGS}/shares"],
            "/conversations/<public_id>/tags": [f"{ENDINGS}/tags"],
            "/conversations/<public_id>/title": [f"{ENDINGS}/title"],
            "/export": ["/export"],
            "/imports": ["/imports"],
            "/imports/<public_id>": [f"/imports/{life.brought}"],
            "/library": ["/library"],
            "/links/<link>": ["/links/none", "/nowhere"],
            "/messages/<public_id>": [f"/messages/{key('long-q20')}"],
            "/messages/<public_id>/receipt": [f"/messages/{key('end-a0')}/receipt"],
            "/messages/<public_id>/versions": [f"/messages/{key(name)}/versions" for name in ("end-q0", "end-a0")],
            "/models": ["/models"],
            "/models/<path:name>": ["/models/blenderbot-400m-distill"],
            "/models/<path:name>/weights/removal": ["/models/smollm2-135m-instruct/weights/removal"],
            "/palette": ["/palette", "/palette?q=bread"],
            "/offline": ["/offline"],
            "/personas": ["/personas"],
            "/personas/<public_id>": [f"/personas/{life.persona}"],
            "/personas/<public_id>/deletion": [f"/personas/{life.persona}/deletion"],
            "/personas/new": ["/personas/new?persona=cook"],
            "/preferences": ["/preferences"],
            "/search": ["/search", "/search?q=bread", "/search?q=nothing+like+it"],
            "/shared/<token>": [f"/shared/{life.share}"],
            "/shared/<token>/copies": [f"/shared/{life.share}/copies"],
            "/shares": ["/shares"],
            "/shortcuts": ["/shortcuts"],
            "/styleguide": ["/styleguide"],
            "/tags": ["/tags"],
            "/tags/<public_id>": [f"/tags/{life.tag}"],
            "/trash": ["/trash"],
        }


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site whose visitors may manage its models."""
    folder: Path = tmp_path_factory.mktemp("axe")
    with serve(folder, MANAGE_MODELS="1", STYLEGUIDE="1", SCRIPTED_TOKENS_PER_SECOND="200") as running:
        yield running


@contextmanager
def browsing(chromium: Browser, site: Site) -> Iterator[BrowserContext]:
    """A browser of its own; nothing is in motion when it is looked at."""
    size: ViewportSize = {"width": 1280, "height": 800}
    context = chromium.new_context(base_url=site.url, locale="en-GB", reduced_motion="reduce", viewport=size)
    context.set_default_timeout(SECONDS * 1000)
    yield context
    context.close()


@pytest.fixture(scope="module")
def furnished(chromium: Browser, quick: Site) -> Iterator[Furnished]:
    """One visitor for all of these."""
    with browsing(chromium, quick) as context:
        yield Furnished(context, furnish(context, quick.url))


@pytest.fixture
def page(furnished: Furnished) -> Iterator[Page]:
    """A tab of theirs."""
    made = furnished.context.new_page()
    yield made
    made.close()


def test_every_page_is_known_here(app: Flask, furnished: Furnished) -> None:
    """A new page fails here until it is named above."""
    rules = {rule.rule for rule in app.url_map.iter_rules() if "GET" in (rule.methods or ())}
    assert rules == NO_PAGES | set(furnished.pages())


def test_no_page_has_a_fault(furnished: Furnished, page: Page) -> None:
    faults = {}
    for path in (path for paths in furnished.pages().values() for path in paths):
        page.goto(path)
        faults[path] = scan(page)
    assert {path: found for path, found in faults.items() if found} == {}


def test_no_empty_page_has_a_fault(chromium: Browser, quick: Site) -> None:
    """What somebody sees who never wrote."""
    with browsing(chromium, quick) as context:
        page = context.new_page()
        for path in ("/archive", "/conversations", "/export", "/personas", "/shares", "/tags", "/trash"):
            page.goto(path)
            assert scan(page) == [], path


def test_nothing_that_opens_has_a_fault(furnished: Furnished, page: Page) -> None:
    page.goto(ENDINGS)
    page.get_by_role("button", name="Conversation menu").click()
    expect(page.locator("#conversation-actions")).to_be_visible()
    assert scan(page) == [], "the menu of the conversation"
    page.keyboard.press("Escape")
    page.locator("#answerer-name").click()
    assert scan(page) == [], "who answers"
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true })")
    assert scan(page) == [], "all that is folded"
    page.get_by_role("button", name="Find anything").click()
    page.get_by_role("searchbox", name="What are you looking for?").fill("river")
    expect(page.locator("#palette mark").first).to_be_visible()
    assert scan(page) == [], "the palette"
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Keyboard shortcuts").click()
    expect(page.get_by_role("dialog", name="Keyboard shortcuts").locator("kbd").first).to_be_visible()
    assert scan(page) == [], "the shortcuts"
    page.keyboard.press("Escape")
    act(page, "Rivers", "link", "Rename")
    expect(page.get_by_role("textbox", name="Title")).to_be_focused()
    assert scan(page) == [], "a row that is renamed"


def test_no_answer_on_its_way_has_a_fault(furnished: Furnished, page: Page) -> None:
    page.goto("/")
    ask(page, "/slow " + "A word and another word. " * 40)
    expect(page.locator(".prose")).to_contain_text("another")
    assert scan(page) == [], "an answer that is written"
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    assert scan(page) == [], "an answer that was stopped"
    act(page, "Rivers", "button", "Pin")
    expect(page.get_by_role("button", name="Undo").first).to_be_visible()
    assert scan(page) == [], "a change that can be undone"


def test_no_narrow_page_has_a_fault(furnished: Furnished, page: Page) -> None:
    page.set_viewport_size({"width": 320, "height": 640})
    for path in (ENDINGS, COMPARED, "/models", "/conversations"):
        page.goto(path)
        assert scan(page) == [], path
    page.get_by_role("button", name="Conversations").click()
    expect(page.locator("#sidebar")).to_be_visible()
    assert scan(page) == [], "the drawer"
