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

from tests.browser.writer import SETTINGS, Writer, writer_of
from tests.support.served_site import ServedSite, running_site, wait_until

CHROMIUM_SWITCHES = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
WATCH_VIOLATIONS_SCRIPT = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => window.violations.push(event.violatedDirective));
"""

# Waiting ends when there is what is waited for, so this is no more than what a very busy machine may need.
TIMEOUT_SECONDS = 60
expect.set_options(timeout=TIMEOUT_SECONDS * 1000)


@contextmanager
def serve_site(folder: Path, **settings: str) -> Iterator[ServedSite]:
    """Run a site as a newcomer does, and end it; without a runner of its own it is ready at once."""
    environment = {"WORKERS": "1", "THREADS": "80", "LOG_LEVEL": "error", **settings}
    with running_site(folder, wait_until_ready=environment.get("RUNNER") != "external", **environment) as site:
        wait_until(site.is_alive, what="The first page")
        yield site


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedSite]:
    """A site whose scripted model writes 200 tokens a second."""
    settings = {
        "SCRIPTED_TOKENS_PER_SECOND": "200",
        "MAX_MESSAGE_CHARS": "4000",
        "MAX_QUEUED_PER_USER": "20",
        "LIMIT_ADDRESSES": "0",
        "MAX_ANSWER_TOKENS": "3000",
    }
    with serve_site(tmp_path_factory.mktemp("site"), **settings) as running:
        yield running


@pytest.fixture(scope="session")
def written_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedSite]:
    """A site whose answers a test writes itself."""
    with serve_site(tmp_path_factory.mktemp("written"), **SETTINGS) as running:
        yield running


@pytest.fixture
def writer(written_site: ServedSite) -> Iterator[Writer]:
    """Who writes the answers of `written_site`."""
    made = writer_of(written_site)
    yield made
    made.leave()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The browser; without one these tests are skipped, unless a browser is required."""
    # The shell is the same browser without windows and menus, which take a quarter of the processor's time.
    names = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
    path = os.environ.get("CHATSITE_TEST_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if not path or not Path(path).exists():
        if os.environ.get("CHATSITE_REQUIRE_BROWSER") == "1":
            pytest.fail("A browser is required, and there is no Chromium. CHATSITE_TEST_CHROMIUM may name one.")
        pytest.skip("NOT TESTED IN A BROWSER: there is no Chromium. CHATSITE_TEST_CHROMIUM may name one.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_SWITCHES)
        yield browser
        browser.close()


@dataclass
class BrowserVisitor:
    """Somebody with a browser of their own.

    `console_errors` is what the browser's console said. It also tells of every request that was refused; where a story
    is about that, `expects_refusals` says so.
    """

    context: BrowserContext
    site: ServedSite
    expects_refusals: bool = False
    console_errors: list[str] = field(default_factory=list)

    def open_tab(self, path: str = "/") -> Page:
        """Open an address in a new tab."""
        page = self.context.new_page()
        page.set_default_timeout(TIMEOUT_SECONDS * 1000)
        page.add_init_script(WATCH_VIOLATIONS_SCRIPT)
        page.on("console", lambda message: self._note_error(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self._note_error(str(error)))
        page.goto(self.site.url + path)
        return page

    def _note_error(self, text: str) -> None:
        if not (self.expects_refusals and text.startswith(("Failed to load resource", "htmx: htmx:error"))):
            self.console_errors.append(text)


@pytest.fixture
def new_visitor(
    request: pytest.FixtureRequest, chromium: Browser, site: ServedSite
) -> Iterator[Callable[..., BrowserVisitor]]:
    """Makes visitors; each must leave without a complaint of their browser or of the security policy."""
    # A site of one test ends after its visitors have left, or their pages would complain that it is gone.
    for name in request.fixturenames:
        if name.endswith("_site") or name == "site_without_runner":
            request.getfixturevalue(name)
    visitors: list[BrowserVisitor] = []

    def create_visitor(at: ServedSite = site, refused: bool = False, **options: object) -> BrowserVisitor:
        options = {"locale": "en-GB", "viewport": {"width": 1280, "height": 720}, **options}
        visitors.append(BrowserVisitor(chromium.new_context(base_url=at.url, **options), at, refused))  # type: ignore[arg-type]
        return visitors[-1]

    yield create_visitor
    for opened in visitors:
        violations = [page.evaluate("window.violations ?? []") for page in opened.context.pages]
        opened.context.close()
        assert not any(violations), violations
        assert opened.console_errors == []


def wait_for_script(page: Page, name: str) -> None:
    """Wait until a script that is loaded on demand was loaded and run."""
    find = "(name) => performance.getEntriesByType('resource').find((entry) => entry.name.includes(`/${name}.`))?.name"
    url = page.wait_for_function(find, arg=name).json_value()
    page.evaluate("(url) => import(url).then(() => true)", url)


def send_question(page: Page, text: str) -> None:
    """Type a question and send it as a reader does."""
    page.get_by_role("textbox", name="Message").fill(text)
    page.get_by_role("button", name="Send").click()


def choose_action(page: Page, title: str, role: Literal["button", "link"], name: str) -> None:
    """Open what can be done with a conversation, from its row in the list, and choose one thing of it."""
    actions = page.get_by_role("link", name=f"Actions for “{title}”")
    # The row shows it to whoever points at the row.
    actions.locator("..").hover()
    actions.click()
    page.locator(".action-list").get_by_role(role, name=name, exact=True).click()


def open_new_conversation(page: Page) -> None:
    """Go to a new conversation by the list, and wait until it is there: what is typed before belongs to the old one."""
    page.locator("#page").evaluate("(column) => column.setAttribute('data-left', '')")
    page.get_by_role("link", name="New chat").first.click()
    # Where one was at a new conversation already, only the column itself tells that it was exchanged.
    expect(page.locator("#page:not([data-left])")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text("New chat")


def ask_and_wait(page: Page, text: str) -> None:
    """Ask, and wait until the answer is there."""
    send_question(page, text)
    expect(page.locator(".question").last).to_contain_text(text.splitlines()[0])
    expect(page.locator("article.message-assistant").last).not_to_have_attribute("aria-busy", "true")
    expect(page.get_by_role("button", name="Send")).to_be_visible()
