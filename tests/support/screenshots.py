"""The command behind `make screenshots`: take the pictures and the film of the README, from a site with the demo.

It needs no model and no network. Pictures are WebP, which takes a quarter of the size of PNG for text at double size.
"""

from __future__ import annotations

import base64
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from chatsite import create_app
from chatsite.cli.migrations import migrate_database
from chatsite.database import db
from chatsite.devtools.demo.build import stable_id
from chatsite.devtools.demo.seed import seed_conversations
from chatsite.devtools.demo.seed_states import seed_models
from chatsite.engine.catalog.catalog import EMBEDDED_MODEL
from chatsite.settings import ROOT
from tests.browser.conftest import CHROMIUM_SWITCHES
from tests.support.film import take_film
from tests.support.served_site import ServedSite, running_site, wait_until

SCREENSHOTS_FOLDER = ROOT / "docs" / "screenshots"
WEBP_QUALITY = 82
DEVICE_SCALE = 2
DESKTOP_SIZE = (1200, 760)
PHONE_SIZE = (390, 844)
DARK_OPTIONS = {"color_scheme": "dark"}


def _scroll_to_last(page: Page, selector: str) -> None:
    """Scroll to the last element that matches `selector`."""
    page.locator(selector).last.evaluate("element => element.scrollIntoView({behavior: 'instant'})")


def _do_nothing(_page: Page) -> None:
    """Leave the page as it was opened."""


def _scroll_to_question(page: Page) -> None:
    _scroll_to_last(page, ".message-user")


def _scroll_to_first_question(page: Page) -> None:
    page.locator(".message-user").first.evaluate("element => element.scrollIntoView({behavior: 'instant'})")


def _open_prompt_report(page: Page) -> None:
    page.locator(".message-assistant a[href$=prompt-report]").last.click()
    page.locator("#report-panel .report").wait_for()


def _open_palette(page: Page) -> None:
    page.keyboard.press("Control+k")
    page.keyboard.type("ex", delay=30)
    page.locator("#palette .palette-item", has_text="All results for “ex”").wait_for()


@dataclass(frozen=True)
class Screenshot:
    """A screenshot: its path, size and browser options, and the actions before it is taken."""

    name: str
    path: str
    size: tuple[int, int] = DESKTOP_SIZE
    prepare: Callable[[Page], None] = _do_nothing
    options: dict[str, Any] = field(default_factory=dict)


SCREENSHOTS = (
    Screenshot("light", f"/conversations/{stable_id('duplicates')}", prepare=_scroll_to_question),
    Screenshot("dark", f"/conversations/{stable_id('duplicates')}", prepare=_scroll_to_question, options=DARK_OPTIONS),
    Screenshot("phone", f"/conversations/{stable_id('lisbon')}", PHONE_SIZE, prepare=_scroll_to_first_question),
    Screenshot("phone-dark", "/", PHONE_SIZE, options=DARK_OPTIONS),
    Screenshot("prompt-report", f"/conversations/{stable_id('garden-talk')}", prepare=_open_prompt_report),
    Screenshot("models", "/models"),
    Screenshot("search", "/search?q=tomatoes"),
    Screenshot("palette", f"/conversations/{stable_id('tides')}", prepare=_open_palette, options=DARK_OPTIONS),
    Screenshot("spanish", f"/conversations/{stable_id('photosynthesis')}", options={"locale": "es-ES"}),
)


def take_screenshots(folder: Path = SCREENSHOTS_FOLDER) -> list[Path]:
    """Take all screenshots and the film. Return the paths of their files."""
    folder.mkdir(exist_ok=True)
    settings = {
        "RUNNER": "external",
        "DEFAULT_MODEL": EMBEDDED_MODEL,
        "WORKERS": "1",
        "THREADS": "40",
        "LEASE_SECONDS": "600",
    }
    with tempfile.TemporaryDirectory() as name:
        _seed_instance(Path(name))
        with running_site(Path(name), wait_until_ready=False, **settings) as site, sync_playwright() as playwright:
            wait_until(site.is_alive, what="The first page")
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_SWITCHES)
            pictures = [_take_screenshot(browser, site, screenshot, folder) for screenshot in SCREENSHOTS]
            return [*pictures, take_film(browser, _seed_instance, folder / "film.webp")]


def _seed_instance(instance: Path) -> None:
    """Fill an instance with the demo, and store that its models are downloaded."""
    app = create_app({"INSTANCE": instance, "DEFAULT_MODEL": EMBEDDED_MODEL, "LOG_LEVEL": "error"})
    migrate_database(app)
    with app.app_context():
        seed_conversations(app.config)
        seed_models(app.config)
        db.session.remove()
        db.engine.dispose()


def _afternoon_zone() -> str:
    """Return a time zone in which it is afternoon, so that the list has chats of today at any hour."""
    # The sign of these names is that of the way to UTC; none is farther than 14 hours in the east.
    return f"Etc/GMT{max(datetime.now(UTC).hour - 15, -14):+d}"


def _take_screenshot(browser: Browser, site: ServedSite, screenshot: Screenshot, folder: Path) -> Path:
    width, height = screenshot.size
    context = browser.new_context(
        viewport={"width": width, "height": height},
        device_scale_factor=DEVICE_SCALE,
        reduced_motion="reduce",
        has_touch=screenshot.size == PHONE_SIZE,
        timezone_id=_afternoon_zone(),
        **{"locale": "en-GB", **screenshot.options},
    )
    token = (site.instance / "terminal_token").read_text().strip()
    context.add_cookies([{"name": site.user_cookie, "value": token, "url": site.url}])
    page = context.new_page()
    # The first page stores the time zone, and the next one is in it.
    page.goto(f"{site.url}/shortcuts")
    page.goto(site.url + screenshot.path)
    page.evaluate("document.fonts.ready")
    screenshot.prepare(page)
    # A blinking caret would make each picture different.
    page.evaluate("document.querySelector('dialog[open], :popover-open') || document.activeElement.blur()")
    page.wait_for_timeout(300)
    capture = context.new_cdp_session(page).send("Page.captureScreenshot", {"format": "webp", "quality": WEBP_QUALITY})
    path = folder / f"{screenshot.name}.webp"
    path.write_bytes(base64.b64decode(capture["data"]))
    context.close()
    return path


if __name__ == "__main__":
    for each in take_screenshots():
        print(f"{each.relative_to(ROOT)}: {each.stat().st_size / 1000:.0f} KB")
