"""The main path by roles and names alone, and what eyes need: zoom, spacing, forced colours, contrast, calm."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.accessibility.axe import AXE_SCRIPT, RUN_SCRIPT, full_height
from tests.browser.conftest import BrowserVisitor
from tests.browser.full_account import FullAccount, create_full_account, make_public_id
from tests.support.served_site import ServedSite

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

ENDINGS = f"/conversations/{make_public_id('endings')}"
# The lines, letters and words of WCAG 1.4.12, set from outside as a reader's extension does it.
SPACED = """
const sheet = new CSSStyleSheet();
sheet.replaceSync(`* { line-height: 1.5 !important; letter-spacing: 0.12em !important; word-spacing: 0.16em !important }
  p { margin-block-end: 2em !important }`);
document.adoptedStyleSheets = [sheet];
"""
# What is outside the window to the left or right, save what scrolls in a box of its own.
OUTSIDE = """() => [...document.querySelectorAll("main *, header *")].filter((each) => {
  const box = each.getBoundingClientRect();
  const scrolled = each.closest(".code pre, .table-scroll, .toolbar, .models thead, .visually-hidden, select, math");
  const hidden = !each.checkVisibility() || box.width < 2 || scrolled;
  return !hidden && (box.left < -1 || box.right > innerWidth + 1);
}).map((each) => each.outerHTML.slice(0, 120))"""
# Words that are cut off at the side of their box without a sign of it.
CUT = """() => [...document.querySelectorAll("main *")].filter((each) => {
  const style = getComputedStyle(each);
  const signed = style.textOverflow === "ellipsis" || style.clipPath !== "none";
  const cuts = ["hidden", "clip"].includes(style.overflowX) && !signed;
  return cuts && each.checkVisibility() && each.scrollWidth > each.clientWidth + 1;
}).map((each) => each.outerHTML.slice(0, 120))"""
# Written at twenty tokens a second, so that there is time to look.
LONG = "/slow " + "One and two. " * 250
# What follows the scroll position moves only as the reader scrolls.
RUNNING = """() => document.getAnimations()
  .filter((each) => each.playState === "running" && each.timeline instanceof DocumentTimeline)
  .map((each) => each.animationName)"""


@pytest.fixture(scope="module")
def page_with_data(chromium: Browser, site: ServedSite) -> Iterator[tuple[Page, FullAccount]]:
    """A page of somebody who has one of everything; no colour is on its way to another when it is looked at."""
    context = chromium.new_context(base_url=site.url, locale="en-GB", reduced_motion="reduce")
    made = create_full_account(context, site.url)
    page = context.new_page()
    yield page, made
    context.close()


def test_main_path_is_usable_by_roles_and_names(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    for landmark in ("banner", "main"):
        expect(page.get_by_role(landmark)).to_have_count(1)
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    conversations = page.get_by_role("navigation", name="Chats")
    expect(conversations.get_by_role("button", name="Search")).to_have_count(1)
    page.keyboard.press("Tab")
    form = page.get_by_role("form", name="Your message")
    form.get_by_role("textbox", name="Message").fill(LONG)
    form.get_by_role("button", name="Send").click()

    answer = page.get_by_role("main").get_by_role("article").nth(1)
    expect(answer).to_have_attribute("aria-busy", "true")
    expect(form.get_by_role("button", name="Stop")).to_be_visible()
    expect(conversations.get_by_role("link", name="/slow One").first).to_have_attribute("aria-current", "page")
    # An answer that is stopped before its first word has nothing to continue, copy or rate.
    expect(page.get_by_role("main").get_by_role("article").nth(1).locator(".prose")).to_contain_text("One")
    form.get_by_role("button", name="Stop").click()
    expect(answer).not_to_have_attribute("aria-busy", "true")
    # Each turn begins with a heading, so that one can go from one to the next.
    expect(page.get_by_role("main").get_by_role("heading", level=2)).to_have_count(2)
    expect(answer.get_by_role("heading", level=2)).to_be_visible()
    for name in ("Continue", "Try again", "Copy this answer", "Good answer", "Bad answer"):
        expect(answer.get_by_role("button", name=name, exact=True)).to_be_visible()
    answer.get_by_role("button", name="Good answer").click()
    expect(answer.get_by_role("button", name="Good answer")).to_have_attribute("aria-pressed", "true")

    page.get_by_role("banner").get_by_role("button", name="Chat menu").click()
    page.get_by_role("banner").get_by_role("link", name="Rename", exact=True).click()
    page.get_by_role("textbox", name="Title").fill("Ten numbers")
    page.locator("#sheet").get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("heading", level=1, name="Ten numbers")).to_be_visible()
    conversations.get_by_role("button", name="Search").click()
    palette = page.get_by_role("dialog", name="Search or jump to…")
    palette.get_by_role("combobox").fill("numbers")
    palette.get_by_role("option", name="Ten numbers").first.click()

    conversations.get_by_role("link", name="Overview").click()
    expect(page.get_by_role("heading", level=1, name="Overview")).to_be_visible()
    page.get_by_role("main").get_by_role("link", name="Trash").click()
    expect(page.get_by_role("main").get_by_text("The trash is empty.")).to_be_visible()
    page.get_by_role("banner").get_by_role("link", name="Overview").click()
    expect(page.get_by_role("heading", level=1, name="Overview")).to_be_visible()


def test_trash_page_accessibility_tree(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab("/trash")
    expect(page.locator("body")).to_match_aria_snapshot("""
        - link "Skip to the content"
        - navigation "Chats"
        - banner:
          - paragraph:
            - link "Overview"
        - main:
          - alert
          - heading "Trash" [level=1]
          - paragraph: Deleted chats are kept for 30 days, then removed permanently.
          - list:
            - listitem:
              - paragraph: The trash is empty.
        - status
    """)


@pytest.mark.parametrize("width", [640, 320])
def test_zoom_and_text_spacing_lose_no_content(page_with_data: tuple[Page, FullAccount], width: int) -> None:
    """A window of 1280 pixels at 200 % and at 400 %, with the spacing that readers may set."""
    page, made = page_with_data
    page.set_viewport_size({"width": width, "height": width * 4 // 5})
    paths = [
        ENDINGS,
        f"/conversations/{make_public_id('compared')}",
        f"{ENDINGS}/settings",
        f"/personas/{made.persona_id}",
    ]
    paths += ["/", "/models", "/personas", "/conversations?all=1", "/search?q=bread", "/shares", "/tags", "/trash"]
    paths += [
        "/imports",
        f"/imports/{made.import_id}",
        "/settings",
        "/overview",
        f"/messages/{make_public_id('end-a0')}/prompt-report",
    ]
    for path in paths:
        page.goto(path)
        for spaced in (False, True):
            if spaced:
                page.evaluate(SPACED)
            assert page.evaluate(OUTSIDE) == [], f"{path} {spaced}"
            assert page.evaluate(CUT) == [], f"{path} {spaced}"
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


def test_prefers_contrast_increases_contrast(page_with_data: tuple[Page, FullAccount]) -> None:
    """At least 7 to 1, where 4.5 is enough for everybody."""
    page, _ = page_with_data
    page.set_viewport_size({"width": 1280, "height": 800})
    for path in ("/", ENDINGS, "/tags", "/shares", "/models/scripted"):
        page.goto(path)
        page.evaluate(AXE_SCRIPT)
        for scheme in ("light", "dark"):
            page.emulate_media(contrast="more", color_scheme=scheme)
            with full_height(page):
                assert page.evaluate(RUN_SCRIPT, {"runOnly": ["color-contrast-enhanced"]}) == [], f"{path} {scheme}"
    page.emulate_media(contrast="no-preference", color_scheme="light")


def test_forced_colors_show_borders(page_with_data: tuple[Page, FullAccount]) -> None:
    page, _ = page_with_data
    page.emulate_media(forced_colors="active")
    page.goto(ENDINGS)
    row = page.get_by_role("navigation").locator(".row", has=page.locator("[aria-current]"))
    outlined = "each => { const s = getComputedStyle(each); return s.outlineStyle + s.borderTopStyle }"
    assert "solid" in row.evaluate(outlined)
    assert "solid" in page.get_by_role("textbox", name="Message").locator("..").evaluate(outlined)
    page.goto("/tags")
    colors = page.locator(".color input").evaluate_all(
        "all => all.map((each) => getComputedStyle(each).backgroundColor)"
    )
    assert len(set(colors)) == len(colors) > 4
    page.emulate_media(forced_colors="none")


def test_reduced_motion_stops_animations(new_visitor: Callable[..., BrowserVisitor]) -> None:
    guest = new_visitor(reduced_motion="reduce")
    page = guest.open_tab()
    page.get_by_role("textbox", name="Message").fill(LONG)
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".prose")).to_contain_text("One")
    assert page.evaluate(RUNNING) == []
    page.emulate_media(reduced_motion="no-preference")
    assert page.evaluate(RUNNING) != [], "what would move otherwise"
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Send")).to_be_visible()
