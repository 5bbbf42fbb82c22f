"""axe-core finds nothing on any page, in any state, in light and in dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.accessibility.axe import find_violations
from tests.browser.accessibility.conftest import Furnished, browsing
from tests.browser.conftest import choose_action, send_question
from tests.browser.full_account import FullAccount, make_public_id
from tests.conftest import close_app, make_app
from tests.support.served_site import ServedSite

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

ENDINGS, VERSIONS, COMPARED, LONG, RTL = (
    f"/conversations/{make_public_id(name)}" for name in ("endings", "versions", "compared", "long", "mine")
)
# What answers with something that is no page of its own: a fragment, a file, a stream, or where to go.
NO_PAGES = {
    "/model-picker",
    "/conversations/<public_id>/row",
    "/dropped-files",
    "/endpoints",
    "/first-run",
    "/healthz",
    "/manifest/<language>.webmanifest",
    "/preferences/<name>/question",
    "/messages/<public_id>/stream",
    "/messages/<public_id>/text",
    "/model-status",
    "/models/<path:name>/weights",
    "/readyz",
    "/shares/<public_id>",
    "/static/<path:filename>",
    "/styleguide.css",
    "/sw.js",
    # Where pages were before: they lead to where they are now.
    "/answerer",
    "/library",
    "/links/<token>",
    "/messages/<public_id>/receipt",
    "/model/status",
    "/preferences",
}


def list_pages(life: FullAccount) -> dict[str, list[str]]:
    """The addresses of all pages, by their rule; some in more than one state."""
    return {
        "/": ["/", "/?temporary=1", "/?persona=cook"],
        "/archive": ["/archive"],
        "/conversations": ["/conversations?all=1", f"/conversations?tag={life.tag_id}"],
        "/conversations/<public_id>": [ENDINGS, VERSIONS, COMPARED, RTL, f"/conversations/{life.temporary_id}"],
        "/conversations/<public_id>/actions": [f"{ENDINGS}/actions"],
        "/conversations/<public_id>/branches": [f"{VERSIONS}/branches", f"{ENDINGS}/branches"],
        "/conversations/<public_id>/export": [f"{ENDINGS}/export"],
        "/conversations/<public_id>/print": [f"{ENDINGS}/print", f"{VERSIONS}/print"],
        "/conversations/<public_id>/questions": [f"{LONG}/questions"],
        "/conversations/<public_id>/search": [f"{LONG}/search?q=many"],
        "/conversations/<public_id>/settings": [f"{ENDINGS}/settings"],
        "/conversations/<public_id>/shares": [f"{ENDINGS}/shares"],
        "/conversations/<public_id>/tags": [f"{ENDINGS}/tags"],
        "/conversations/<public_id>/title": [f"{ENDINGS}/title"],
        "/export": ["/export"],
        "/imports": ["/imports"],
        "/imports/<public_id>": [f"/imports/{life.import_id}"],
        "/overview": ["/overview"],
        "/terminal-links/<token>": ["/terminal-links/none", "/nowhere"],
        "/messages/<public_id>": [f"/messages/{make_public_id('long-q20')}"],
        "/messages/<public_id>/actions": [f"/messages/{make_public_id('end-a0')}/actions"],
        "/messages/<public_id>/differences": [
            f"/messages/{make_public_id(name)}/differences" for name in ("ver-a2", "end-a0")
        ],
        "/messages/<public_id>/prompt-report": [f"/messages/{make_public_id('end-a0')}/prompt-report"],
        "/messages/<public_id>/versions": [
            f"/messages/{make_public_id(name)}/versions" for name in ("end-q0", "end-a0")
        ],
        "/join": ["/join"],
        "/models": ["/models"],
        "/models/<path:name>": ["/models/blenderbot-400m-distill"],
        "/models/<path:name>/weights/removal": ["/models/smollm2-135m-instruct/weights/removal"],
        "/palette": ["/palette", "/palette?q=bread"],
        "/offline": ["/offline"],
        "/personas": ["/personas"],
        "/personas/<public_id>": [f"/personas/{life.persona_id}"],
        "/personas/new": ["/personas/new?persona=cook"],
        "/search": ["/search", "/search?q=bread", "/search?q=nothing+like+it"],
        "/settings": ["/settings"],
        "/settings/browser": ["/settings/browser"],
        "/settings/deletion": ["/settings/deletion"],
        "/shared/<token>": [f"/shared/{life.share_token}"],
        "/shared/<token>/copies": [f"/shared/{life.share_token}/copies"],
        "/shares": ["/shares"],
        "/shortcuts": ["/shortcuts"],
        "/styleguide": ["/styleguide"],
        "/tags": ["/tags"],
        "/tags/<public_id>": [f"/tags/{life.tag_id}"],
        "/trash": ["/trash"],
    }


@pytest.fixture
def page(chromium: Browser, managed_site: ServedSite, furnished: Furnished) -> Iterator[Page]:
    """A tab of somebody who has one of everything."""
    with browsing(chromium, managed_site, cookies=furnished.cookies) as context:
        yield context.new_page()


def test_every_route_is_covered_by_axe(tmp_path: Path, furnished: Furnished) -> None:
    """A new page fails here until it is named above."""
    app = make_app(tmp_path, STYLEGUIDE=True)
    rules = {rule.rule for rule in app.url_map.iter_rules() if "GET" in (rule.methods or ())}
    close_app(app)
    assert rules == NO_PAGES | set(list_pages(furnished.life))


def test_pages_have_no_violations(furnished: Furnished, page: Page) -> None:
    faults = {}
    for path in (path for paths in list_pages(furnished.life).values() for path in paths):
        page.goto(path)
        faults[path] = find_violations(page)
    assert {path: found for path, found in faults.items() if found} == {}


def test_empty_pages_have_no_violations(chromium: Browser, managed_site: ServedSite) -> None:
    """What somebody sees who never wrote."""
    with browsing(chromium, managed_site) as context:
        page = context.new_page()
        for path in ("/archive", "/conversations", "/export", "/personas", "/shares", "/tags", "/trash"):
            page.goto(path)
            assert find_violations(page) == [], path


def test_menus_and_dialogs_have_no_violations(page: Page) -> None:
    page.goto(ENDINGS)
    page.get_by_role("button", name="Chat menu").click()
    expect(page.locator("#conversation-actions")).to_be_visible()
    assert find_violations(page) == [], "the menu of the conversation"
    page.keyboard.press("Escape")
    page.get_by_role("link", name="More", exact=True).first.click()
    expect(page.locator("#answer-menu")).to_be_visible()
    assert find_violations(page) == [], "the menu of an answer"
    page.keyboard.press("Escape")
    page.locator(".signature").first.click()
    expect(page.locator("#report-panel .report")).to_be_visible()
    assert find_violations(page) == [], "what the model saw"
    page.keyboard.press("Escape")
    page.locator("#model-picker-name").click()
    assert find_violations(page) == [], "who answers"
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true })")
    assert find_violations(page) == [], "all that is folded"
    page.get_by_role("button", name="Search", exact=True).click()
    page.get_by_role("combobox", name="What are you looking for?").fill("river")
    expect(page.locator("#palette mark").first).to_be_visible()
    assert find_violations(page) == [], "the palette"
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Keyboard shortcuts").click()
    expect(page.get_by_role("dialog", name="Keyboard shortcuts").locator("kbd").first).to_be_visible()
    assert find_violations(page) == [], "the shortcuts"
    page.keyboard.press("Escape")
    choose_action(page, "Rivers", "link", "Rename")
    expect(page.get_by_role("textbox", name="Title")).to_be_focused()
    assert find_violations(page) == [], "a row that is renamed"


def test_long_conversation_has_no_violations(page: Page) -> None:
    """The rail closed and open, the search over the conversation, and the title while it is changed."""
    page.goto(LONG)
    expect(page.locator(".outline-item")).to_have_count(50)
    assert find_violations(page) == [], "the rail"
    page.locator(".outline-item[aria-current]").focus()
    expect(page.locator(".outline").get_by_label("Jump to date")).to_be_visible()
    assert find_violations(page) == [], "the questions"
    page.keyboard.press("Control+f")
    expect(page.locator(".chat-search input[name=q]")).to_be_focused()
    page.keyboard.type("many")
    expect(page.locator(".chat-search mark").first).to_be_visible()
    assert find_violations(page) == [], "the search over the conversation"
    page.keyboard.press("Escape")
    expect(page.locator(".chat-search")).to_have_count(0)
    page.keyboard.press("F2")
    expect(page.get_by_role("textbox", name="Title")).to_be_focused()
    assert find_violations(page) == [], "the title in place"


def test_streaming_answer_has_no_violations(page: Page) -> None:
    page.goto("/")
    send_question(page, "/slow " + "A word and another word. " * 150)
    expect(page.locator(".prose")).to_contain_text("another")
    assert find_violations(page) == [], "an answer that is written"
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    assert find_violations(page) == [], "an answer that was stopped"
    choose_action(page, "Rivers", "button", "Pin")
    expect(page.get_by_role("button", name="Undo").first).to_be_visible()
    assert find_violations(page) == [], "a change that can be undone"


def test_narrow_pages_have_no_violations(page: Page) -> None:
    page.set_viewport_size({"width": 320, "height": 640})
    for path in (ENDINGS, COMPARED, "/models", "/conversations"):
        page.goto(path)
        assert find_violations(page) == [], path
    page.get_by_role("button", name="Chats").click()
    expect(page.locator("#sidebar")).to_be_visible()
    assert find_violations(page) == [], "the drawer"
