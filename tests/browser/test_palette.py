"""The palette and the shortcuts, by the keyboard alone."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor


def focused(page: Page) -> str:
    """What has the focus, by its id or its words."""
    return str(page.evaluate("document.activeElement.id || document.activeElement.innerText.trim()"))


def begin(guest: Visitor, page: Page, *titles: str) -> None:
    """Some conversations; none of them is open."""
    token = page.locator("#composer [name=csrf_token]").get_attribute("value") or ""
    for title in titles:
        assert guest.context.request.post(
            "/messages", form={"csrf_token": token, "text": title, "token": f"begin-{title}"}
        ).ok
    page.reload()


def test_what_is_typed_is_found_and_the_focus_comes_back(visitor: Callable[..., Visitor]) -> None:
    # A transition from page to page that the next page cuts short is told to the console.
    guest = visitor(refused=True, reduced_motion="reduce")
    page = guest.tab()
    begin(guest, page, "/say Bread", "/say Roses", "/say Clouds")
    page.locator("#text").fill("Half a thought")
    palette = page.get_by_role("dialog", name="Find anything")
    # What was used last is there at once, before the site has answered.
    page.route(re.compile(r"/palette\?"), lambda route: route.abort())
    page.keyboard.press("Control+k")
    expect(palette).to_be_visible()
    expect(palette.locator(".palette-name")).to_have_text(["/say Clouds", "/say Roses", "/say Bread"])
    expect(palette.get_by_role("searchbox")).to_be_focused()
    page.keyboard.press("Escape")
    expect(palette).to_be_hidden()
    expect(page.locator("#text")).to_be_focused()
    page.unroute(re.compile(r"/palette\?"))

    page.keyboard.press("Control+k")
    expect(palette.get_by_role("link", name="Trash")).to_be_attached()
    page.keyboard.press("ArrowDown")
    assert focused(page).startswith("/say Clouds")
    # Single keys are no shortcuts here.
    page.keyboard.press("c")
    page.keyboard.press("End")
    assert focused(page) == "Español"
    page.keyboard.press("Home")
    expect(palette.get_by_role("searchbox")).to_be_focused()
    # The form leads to the first of what is found, however fast one types.
    page.keyboard.type("bread")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("/say Bread")
    # And the conversation before is one key away.
    page.keyboard.press("Control+k")
    expect(palette.get_by_role("link", name="Export this conversation")).to_be_attached()
    assert page.locator(".palette-name").first.inner_text() == "/say Clouds"
    page.keyboard.type("dark")
    expect(palette.locator(".palette-name").first).to_have_text("Dark colours")
    expect(page.locator("#announcer")).to_have_text("1 result")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(page.get_by_role("heading", level=1)).to_have_text("/say Bread")


def test_every_shortcut_does_what_the_help_says(visitor: Callable[..., Visitor]) -> None:
    guest = visitor(permissions=["clipboard-read", "clipboard-write"])
    page = guest.tab()
    begin(guest, page, "/say One", "/say Two")
    page.keyboard.press("Escape")
    expect(page.locator("#main")).to_be_focused()
    page.keyboard.press("?")
    help_ = page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(help_.get_by_text("Copy the last answer")).to_be_visible()
    page.keyboard.press("Escape")
    expect(help_).to_be_hidden()
    expect(page.locator("#main")).to_be_focused()

    page.keyboard.press("/")
    expect(page.locator("#search-box")).to_be_focused()
    page.keyboard.type("?/c")
    expect(page.locator("#search-box")).to_have_value("?/c")
    page.keyboard.press("Escape")
    page.keyboard.press("Control+Shift+O")
    expect(page).to_have_url(re.compile(r"/$"))
    expect(page.locator("#text")).to_be_focused()
    page.keyboard.type("/say Words to copy")
    page.keyboard.press("Enter")
    expect(page.locator("article.message-assistant")).not_to_have_attribute("aria-busy", "true")
    page.keyboard.press("Escape")
    page.keyboard.press("y")
    expect(page.locator("#announcer")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == "Words to copy"
    page.keyboard.press("c")
    expect(page.locator("#text")).to_be_focused()


def test_arrows_walk_through_the_list_and_its_place_is_kept(visitor: Callable[..., Visitor]) -> None:
    guest = visitor(viewport={"width": 1280, "height": 480})
    page = guest.tab()
    begin(guest, page, *(f"/say {number}" for number in range(33)))
    page.keyboard.press("Escape")
    page.keyboard.press("/")
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


def test_a_menu_is_walked_through_and_gives_the_focus_back(visitor: Callable[..., Visitor]) -> None:
    guest = visitor()
    page = guest.tab()
    begin(guest, page, "/say One")
    page.locator(".row-title").click()
    button = page.get_by_role("button", name="Conversation menu")
    button.focus()
    page.keyboard.press("Enter")
    assert focused(page) == "To the beginning"
    page.keyboard.press("ArrowDown")
    assert focused(page) == "To the end"
    page.keyboard.press("End")
    assert focused(page) == "Delete"
    page.keyboard.press("Escape")
    expect(button).to_be_focused()


def test_on_a_small_screen_the_search_box_is_in_the_drawer(visitor: Callable[..., Visitor]) -> None:
    """A keyboard may be there all the same, and the palette needs no drawer."""
    page = visitor(viewport={"width": 390, "height": 780}).tab()
    page.keyboard.press("Control+k")
    palette = page.get_by_role("dialog", name="Find anything")
    expect(palette).to_be_visible()
    box = palette.bounding_box()
    assert box
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
