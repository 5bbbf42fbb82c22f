"""How people come to the site from another device: the page with the code, and an address that is not admitted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from tests.browser.accessibility.axe import find_violations
from tests.browser.conftest import BrowserVisitor, serve_site

pytestmark = pytest.mark.browser


def test_unknown_host_gets_page_with_line_that_can_be_copied(new_visitor: Callable[..., BrowserVisitor]) -> None:
    guest = new_visitor(refused=True, viewport={"width": 320, "height": 640})
    page = guest.open_tab("/healthz")
    port = urlsplit(guest.site.url).port
    # Browsers take every name under `localhost` for this machine, and the site does not.
    page.goto(f"http://chat.localhost:{port}/conversations")
    expect(page.get_by_role("heading", level=1, name="This address isn't allowed yet")).to_be_visible()
    line = page.get_by_text(f"CHATSITE_TRUSTED_HOSTS=chat.localhost PORT={port} make run")
    expect(line).to_be_in_viewport()
    # Style sheets are served under every name.
    assert page.get_by_role("main").evaluate("element => getComputedStyle(element).display") == "flex"
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    assert find_violations(page) == []
    page.get_by_role("button", name="Copy this line").click()
    expect(page.locator("#announcer")).to_have_text("Copied")
    page.get_by_role("link", name=f"Open http://127.0.0.1:{port}/").click()
    expect(page.get_by_role("textbox", name="Message")).to_be_visible()


def test_join_page_is_large_on_a_screen_and_fits_a_phone_and_paper(
    new_visitor: Callable[..., BrowserVisitor], tmp_path: Path
) -> None:
    with serve_site(tmp_path / "instance", RUNNER="external", TRUSTED_HOSTS="chat.test") as site:
        page = new_visitor(at=site).open_tab("/overview")
        page.get_by_role("link", name="Join from another device").click()
        address = page.get_by_role("link", name=f"chat.test:{urlsplit(site.url).port}", exact=True)
        code = page.get_by_role("img", name="QR code of the address")
        assert address.evaluate("element => parseFloat(getComputedStyle(element).fontSize)") >= 32
        for width in (1280, 320):
            page.set_viewport_size({"width": width, "height": 720})
            expect(address).to_be_in_viewport(ratio=1)
            box = code.bounding_box()
            assert box
            assert box["width"] == box["height"] >= 200
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert find_violations(page) == []
        # Black on white in the dark, too.
        page.emulate_media(color_scheme="dark")
        assert code.locator("rect").evaluate("element => getComputedStyle(element).fill") == "rgb(255, 255, 255)"
        page.emulate_media(media="print")
        expect(page.get_by_role("link", name="Overview")).to_be_hidden()
        expect(code).to_be_visible()
