"""A real site, served by gunicorn with its runner, and a real browser that looks at it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.site import Site, running_site, until

SWITCHES = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => window.violations.push(event.violatedDirective));
"""

SECONDS = 20
expect.set_options(timeout=SECONDS * 1000)


@contextmanager
def serve(folder: Path, **settings: str) -> Iterator[Site]:
    """Run a site as a newcomer does, and end it; without a runner of its own it is ready at once."""
    chosen = {"WORKERS": "1", "THREADS": "80", "LOG_LEVEL": "error", **settings}
    with running_site(folder, wait_until_ready=chosen.get("RUNNER") != "external", **chosen) as site:
        until(site.alive, what="The first page")
        yield site


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site whose scripted model writes 200 tokens a second."""
    settings = {
        "SCRIPTED_TOKENS_PER_SECOND": "200",
        "MESSAGE_CHARS": "4000",
        "QUEUE_PER_USER": "20",
        "ANSWER_TOKENS": "3000",
    }
    with serve(tmp_path_factory.mktemp("site"), **settings) as running:
        yield running


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The browser; without one these tests are skipped, unless a browser is required."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = os.environ.get("CHATSITE_TEST_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if not path or not Path(path).exists():
        if os.environ.get("CHATSITE_REQUIRE_BROWSER") == "1":
            pytest.fail("A browser is required, and there is no Chromium. CHATSITE_TEST_CHROMIUM may name one.")
        pytest.skip("NOT TESTED IN A BROWSER: there is no Chromium. CHATSITE_TEST_CHROMIUM may name one.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=SWITCHES)
        yield browser
        browser.close()


@dataclass
class Visitor:
    """Somebody with a browser of their own.

    `complaints` is what the browser's console said. It also tells of every request that was refused; where a story is
    about that, `refused` says so.
    """

    context: BrowserContext
    site: Site
    refused: bool = False
    complaints: list[str] = field(default_factory=list)

    def tab(self, path: str = "/") -> Page:
        """Open an address in a new tab."""
        page = self.context.new_page()
        page.set_default_timeout(SECONDS * 1000)
        page.add_init_script(WATCH)
        page.on("console", lambda message: self._hear(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self._hear(str(error)))
        page.goto(self.site.url + path)
        return page

    def _hear(self, text: str) -> None:
        if not (self.refused and text.startswith(("Failed to load resource", "htmx: htmx:error"))):
            self.complaints.append(text)


@pytest.fixture
def visitor(chromium: Browser, site: Site) -> Iterator[Callable[..., Visitor]]:
    """Makes visitors; each must leave without a complaint of their browser or of the security policy."""
    visitors: list[Visitor] = []

    def make(at: Site = site, refused: bool = False, **options: object) -> Visitor:
        options = {"locale": "en-GB", "viewport": {"width": 1280, "height": 720}, **options}
        visitors.append(Visitor(chromium.new_context(base_url=at.url, **options), at, refused))  # type: ignore[arg-type]
        return visitors[-1]

    yield make
    for each in visitors:
        violations = [page.evaluate("window.violations ?? []") for page in each.context.pages]
        each.context.close()
        assert not any(violations), violations
        assert each.complaints == []


def ask(page: Page, text: str) -> None:
    """Type a question and send it as a reader does."""
    page.get_by_role("textbox", name="Message").fill(text)
    page.get_by_role("button", name="Send").click()


def act(page: Page, title: str, role: Literal["button", "link"], name: str) -> None:
    """Open what can be done with a conversation, from its row in the list, and choose one thing of it."""
    actions = page.get_by_role("link", name=f"Actions for “{title}”")
    # The row shows it to whoever points at the row.
    actions.locator("..").hover()
    actions.click()
    page.locator(".deeds").get_by_role(role, name=name, exact=True).click()


def ask_and_wait(page: Page, text: str) -> None:
    """Ask, and wait until the answer is there."""
    ask(page, text)
    expect(page.locator(".question").last).to_contain_text(text.splitlines()[0])
    expect(page.locator("article.message-assistant").last).not_to_have_attribute("aria-busy", "true")
    expect(page.get_by_role("button", name="Send")).to_be_visible()
