"""The palette and the shortcuts, by the keyboard alone."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.conftest import BrowserVisitor, ask_and_wait


def focused(page: Page) -> str:
    """What has the focus, by its id or its words."""
    return str(page.evaluate("document.activeElement.id || document.activeElement.innerText.trim()"))


def active(page: Page) -> str:
    """What Enter would open, as assistive technology is told it."""
    line = page.locator("#" + (page.locator(".palette-box").get_attribute("aria-activedescendant") or ""))
    expect(line).to_have_attribute("aria-selected", "true")
    expect(page.locator("#palette [aria-selected=true]")).to_have_count(1)
    return line.locator(".palette-name").inner_text()


def begin(guest: BrowserVisitor, page: Page, *titles: str) -> None:
    """Some conversations; none of them is open."""
    token = page.locator("#composer [name=csrf_token]").get_attribute("value") or ""
    for title in titles:
        assert guest.context.request.post(
            "/messages", form={"csrf_token": token, "text": title, "idempotency_key": f"begin-{title}"}
        ).ok
    page.reload()


def test_palette_keeps_focus_in_its_box(new_visitor: Callable[..., BrowserVisitor]) -> None:
    # A transition from page to page that the next page cuts short is told to the console.
    guest = new_visitor(refused=True, reduced_motion="reduce")
    page = guest.open_tab()
    begin(guest, page, "/say Bread", "/say Roses", "/say Clouds")
    page.locator("#text").fill("Half a thought")
    palette = page.get_by_role("dialog", name="Search or jump to…")
    # What was used last is there at once, before the site has answered.
    page.route(re.compile(r"/palette\?"), lambda route: route.abort())
    page.keyboard.press("Control+k")
    expect(palette).to_be_visible()
    expect(palette.locator(".palette-name")).to_have_text(["/say Clouds", "/say Roses", "/say Bread"])
    box = palette.get_by_role("combobox")
    expect(box).to_be_focused()
    page.keyboard.press("Escape")
    expect(palette).to_be_hidden()
    expect(page.locator("#text")).to_be_focused()
    page.unroute(re.compile(r"/palette\?"))

    page.keyboard.press("Control+k")
    expect(palette.get_by_role("option", name="Trash")).to_be_attached()
    # The focus stays in the box, and what one types is never lost.
    assert active(page) == "/say Clouds"
    page.keyboard.press("ArrowDown")
    assert active(page) == "/say Roses"
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    assert active(page) == "Español"
    expect(box).to_be_focused()
    page.keyboard.type("c")
    expect(box).to_have_value("c")
    palette.get_by_role("option").first.focus()
    page.keyboard.type("l")
    expect(box).to_be_focused()
    assert sorted(box.input_value()) == ["c", "l"]


def test_palette_opens_what_it_finds(new_visitor: Callable[..., BrowserVisitor]) -> None:
    # A transition from page to page that the next page cuts short is told to the console.
    guest = new_visitor(refused=True, reduced_motion="reduce")
    page = guest.open_tab()
    begin(guest, page, "/say Bread", "/say Roses", "/say Clouds")
    palette = page.get_by_role("dialog", name="Search or jump to…")
    page.keyboard.press("Control+k")
    # The form leads to the first of what is found, however fast one types.
    page.keyboard.type("bread")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("/say Bread")
    # And the conversation before is one key away.
    page.keyboard.press("Control+k")
    expect(palette.get_by_role("option", name="Export this chat")).to_be_attached()
    assert page.locator(".palette-name").first.inner_text() == "/say Clouds"
    page.keyboard.type("dark")
    expect(palette.locator(".palette-name").first).to_have_text("Dark theme")
    expect(page.locator("#announcer")).to_have_text("1 result")
    expect(page.locator("#palette-results")).to_have_attribute("data-query", "dark")
    page.keyboard.press("Enter")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(page.get_by_role("heading", level=1)).to_have_text("/say Bread")

    # Ctrl+Enter opens another tab, and what can be seen without colors is what Enter opens.
    page.emulate_media(forced_colors="active")
    page.keyboard.press("Control+k")
    page.keyboard.type("roses")
    expect(page.locator("#palette-results")).to_have_attribute("data-query", "roses")
    outline = "(line) => getComputedStyle(line).outlineStyle"
    assert palette.locator("[aria-selected=true]").evaluate(outline) == "solid"
    with guest.context.expect_page() as opened:
        page.keyboard.press("Control+Enter")
    expect(opened.value.get_by_role("heading", level=1)).to_have_text("/say Roses")
    opened.value.close()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("End")
    palette.get_by_role("option").last.click()
    expect(page).to_have_url(re.compile(r"/search\?q=roses"))


def test_every_shortcut_performs_its_action(new_visitor: Callable[..., BrowserVisitor]) -> None:
    guest = new_visitor(permissions=["clipboard-read", "clipboard-write"])
    page = guest.open_tab()
    begin(guest, page, "/say One", "/say Two")
    page.keyboard.press("Control+/")
    help_ = page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(help_.get_by_text("Copy the last answer")).to_be_visible()
    page.keyboard.press("Escape")
    expect(help_).to_be_hidden()

    page.keyboard.press("Control+Shift+O")
    expect(page).to_have_url(re.compile(r"/$"))
    expect(page.locator("#text")).to_be_focused()
    page.keyboard.insert_text("/say Words to copy\n\n```\nx = 1\n```")
    page.keyboard.press("Enter")
    expect(page.locator("article.message-assistant")).not_to_have_attribute("aria-busy", "true")
    expect(page.locator(".prose figure")).to_be_visible()
    for keys, copied in (("Control+Shift+X", "x = 1"), ("Control+Shift+C", "Words to copy\n\n```\nx = 1\n```")):
        page.evaluate("document.getElementById('announcer').textContent = ''")
        page.keyboard.press(keys)
        expect(page.locator("#announcer")).to_have_text("Copied")
        assert page.evaluate("navigator.clipboard.readText()") == copied
    expect(page.locator("#text")).to_be_focused()
    # The palette does the same with what is behind it.
    page.keyboard.press("Control+k")
    page.keyboard.type("edit the")
    expect(page.locator("#palette-results")).to_have_attribute("data-query", "edit the")
    page.keyboard.press("Enter")
    expect(page.get_by_role("textbox", name="Edit question")).to_be_focused()
    expect(page.locator("#palette")).to_be_hidden()


def test_sidebar_becomes_a_rail_by_key_and_stays_so(new_visitor: Callable[..., BrowserVisitor]) -> None:
    page = new_visitor().open_tab()
    ask_and_wait(page, "/say First")
    sidebar, button = page.locator("#sidebar"), page.get_by_role("button", name="Show sidebar")
    rows = page.locator("#conversations")
    expect(page.locator("#text")).to_be_focused()
    with page.expect_response("**/preferences"):
        page.keyboard.press("Control+b")
    expect(rows).to_be_hidden()
    expect(page.locator("#text")).to_be_focused()
    page.goto("/models")
    # From the first paint on.
    expect(page.locator("html")).to_have_attribute("data-sidebar", "hidden")
    expect(rows).to_be_hidden()
    assert sidebar.evaluate("(rail) => rail.offsetWidth") <= 56
    # What one begins with is there, and its word for whoever points at it.
    for name in ("New chat", "Overview", "Settings"):
        link = sidebar.get_by_role("link", name=name)
        assert link.evaluate("(link) => link.querySelector('span').offsetWidth") == 1
        link.hover()
        assert link.evaluate("(link) => link.querySelector('span').offsetWidth") > 40
    sidebar.get_by_role("button", name="Search").click()
    expect(page.get_by_role("dialog", name="Search or jump to…")).to_be_visible()
    page.keyboard.press("Escape")
    button.focus()
    with page.expect_response("**/preferences"):
        page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Hide sidebar")).to_be_focused()
    page.keyboard.press("Enter")
    expect(button).to_be_focused()
    # Whoever is in the list when it goes away finds the way to bring it back.
    page.keyboard.press("Enter")
    rows.get_by_role("link", name="/say First", exact=True).focus()
    page.keyboard.press("Control+b")
    expect(button).to_be_focused()
    # On a narrow screen it is a drawer, whatever was chosen.
    page.set_viewport_size({"width": 700, "height": 700})
    page.keyboard.press("Control+b")
    expect(sidebar).to_be_visible()
    expect(rows).to_be_visible()
    page.keyboard.press("Control+b")
    expect(sidebar).to_be_hidden()


def test_arrow_keys_navigate_sidebar_and_keep_scroll_position(new_visitor: Callable[..., BrowserVisitor]) -> None:
    guest = new_visitor(viewport={"width": 1280, "height": 480})
    page = guest.open_tab()
    begin(guest, page, *(f"/say {number}" for number in range(33)))
    page.get_by_role("navigation").get_by_role("button", name="Search").focus()
    page.keyboard.press("ArrowDown")
    assert focused(page) == "/say 32"
    page.keyboard.press("End")
    # Rows that come as the list is walked through can be walked to.
    expect(page.locator("#conversations .row")).to_have_count(33)
    page.keyboard.press("End")
    assert focused(page) == "/say 0"
    for key, title in (("ArrowDown", "/say 0"), ("ArrowUp", "/say 1"), ("ArrowUp", "/say 2")):
        page.keyboard.press(key)
        assert focused(page) == title
    for _ in range(6):
        page.keyboard.press("ArrowUp")
    place = page.evaluate("document.querySelector('#conversations').scrollTop")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("/say 8")
    assert page.evaluate("document.querySelector('#conversations').scrollTop") == place
    expect(page.locator(".row-title[aria-current]")).to_be_in_viewport()


def test_menu_keyboard_navigation_restores_focus(new_visitor: Callable[..., BrowserVisitor]) -> None:
    guest = new_visitor()
    page = guest.open_tab()
    begin(guest, page, "/say One")
    page.locator(".row-title").click()
    button = page.get_by_role("button", name="Chat menu")
    button.focus()
    page.keyboard.press("Enter")
    assert focused(page) == "Rename"
    page.keyboard.press("ArrowDown")
    assert focused(page) == "Pin"
    page.keyboard.press("End")
    assert focused(page) == "Delete"
    page.keyboard.press("Escape")
    expect(button).to_be_focused()


def test_palette_fits_small_screen(new_visitor: Callable[..., BrowserVisitor]) -> None:
    """A keyboard may be there all the same, and the palette needs no drawer."""
    page = new_visitor(viewport={"width": 390, "height": 780}).open_tab()
    page.keyboard.press("Control+k")
    palette = page.get_by_role("dialog", name="Search or jump to…")
    expect(palette).to_be_visible()
    box = palette.bounding_box()
    assert box
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
