"""`make screenshots`: the pictures of the README, of a site that serves the demo. No model and no network are needed.

They are WebP, since a picture of text at twice the size takes a quarter of what it takes as PNG.
"""

from __future__ import annotations

import base64
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from chatsite import create_app
from chatsite.cli.database import bring_up_to_date
from chatsite.cli.demo.filling import fill
from chatsite.cli.demo.held import house
from chatsite.cli.demo.staging import name_of
from chatsite.config import ROOT
from chatsite.database import db
from chatsite.engine.catalogue import EMBEDDED
from chatsite.web.access import COOKIE
from tests.browser.conftest import SWITCHES
from tests.site import Site, running_site, until

FOLDER = ROOT / "docs" / "screenshots"
QUALITY = 82
SCALE = 2
DESKTOP = (1200, 760)
PHONE = (390, 844)
DARK = {"color_scheme": "dark"}


def _look_at(page: Page, place: str) -> None:
    """Scroll to the last of some elements."""
    page.locator(place).last.evaluate("element => element.scrollIntoView({behavior: 'instant'})")


def _nothing(_page: Page) -> None:
    """The page as it is opened."""


def _look_at_question(page: Page) -> None:
    _look_at(page, ".message-user")


def _look_at_beginning(page: Page) -> None:
    page.locator(".message-user").first.evaluate("element => element.scrollIntoView({behavior: 'instant'})")


def _open_receipt(page: Page) -> None:
    page.locator(".message-assistant a[href$=receipt]").last.click()
    page.locator("details.receipt-box").wait_for()
    _look_at(page, "details.receipt-box")


def _open_palette(page: Page) -> None:
    page.keyboard.press("Control+k")
    page.keyboard.type("ex", delay=30)
    page.locator("#palette .palette-line", has_text="Search all messages for “ex”").wait_for()


@dataclass(frozen=True)
class Picture:
    """What is to be seen: where, how large, and what is done before."""

    name: str
    path: str
    size: tuple[int, int] = DESKTOP
    act: Callable[[Page], None] = _nothing
    options: dict[str, Any] = field(default_factory=dict)


PICTURES = (
    Picture("light", f"/conversations/{name_of('duplicates')}", act=_look_at_question),
    Picture("dark", f"/conversations/{name_of('duplicates')}", act=_look_at_question, options=DARK),
    Picture("phone", f"/conversations/{name_of('lisbon')}", PHONE, act=_look_at_beginning),
    Picture("phone-dark", "/", PHONE, options=DARK),
    Picture("receipt", f"/conversations/{name_of('garden-talk')}", act=_open_receipt),
    Picture("models", "/models"),
    Picture("search", "/search?q=tomatoes"),
    Picture("palette", f"/conversations/{name_of('tides')}", act=_open_palette, options=DARK),
    Picture("spanish", f"/conversations/{name_of('photosynthesis')}", options={"locale": "es-ES"}),
)


def take(folder: Path = FOLDER) -> list[Path]:
    """Take all pictures; returns where they are."""
    folder.mkdir(exist_ok=True)
    settings = {"RUNNER": "external", "MODEL": EMBEDDED, "WORKERS": "1", "THREADS": "40", "LEASE_SECONDS": "600"}
    with tempfile.TemporaryDirectory() as name:
        _furnish(Path(name))
        with running_site(Path(name), wait_until_ready=False, **settings) as site, sync_playwright() as playwright:
            until(site.alive, what="The first page")
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=SWITCHES)
            return [_take(browser, site, picture, folder) for picture in PICTURES]


def _furnish(instance: Path) -> None:
    """Fill an instance with the demo, and say that its models are here."""
    app = create_app({"INSTANCE": instance, "MODEL": EMBEDDED, "LOG_LEVEL": "error"})
    bring_up_to_date(app)
    with app.app_context():
        fill(app.config)
        house(app.config)
        db.session.remove()
        db.engine.dispose()


def _take(browser: Browser, site: Site, picture: Picture, folder: Path) -> Path:
    width, height = picture.size
    context = browser.new_context(
        viewport={"width": width, "height": height},
        device_scale_factor=SCALE,
        reduced_motion="reduce",
        has_touch=picture.size == PHONE,
        **{"locale": "en-GB", **picture.options},
    )
    token = (site.instance / "terminal_token").read_text().strip()
    context.add_cookies([{"name": COOKIE, "value": token, "url": site.url}])
    page = context.new_page()
    page.goto(site.url + picture.path)
    page.evaluate("document.fonts.ready")
    picture.act(page)
    # A caret that blinks would make each picture another one.
    page.evaluate("document.querySelector('dialog[open], :popover-open') || document.activeElement.blur()")
    page.wait_for_timeout(300)
    shot = context.new_cdp_session(page).send("Page.captureScreenshot", {"format": "webp", "quality": QUALITY})
    path = folder / f"{picture.name}.webp"
    path.write_bytes(base64.b64decode(shot["data"]))
    context.close()
    return path


if __name__ == "__main__":
    for each in take():
        print(f"{each.relative_to(ROOT)}: {each.stat().st_size / 1000:.0f} KB")
