"""A real site, served by gunicorn with its runner, and a real browser that looks at it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from chatsite.config import ROOT

START_SECONDS = 40
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

SECONDS = 10
expect.set_options(timeout=SECONDS * 1000)


@dataclass
class Site:
    """A running site: its address, and the folder with its database."""

    url: str
    folder: Path


@contextmanager
def serve(folder: Path, **settings: str) -> Iterator[Site]:
    """Run a site as a newcomer does, and end it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    chosen = {
        "INSTANCE": str(folder),
        "MODEL": "scripted",
        "WORKERS": "1",
        "THREADS": "80",
        "LOG_LEVEL": "error",
        **settings,
    }
    environment = {key: value for key, value in os.environ.items() if not key.startswith("CHATSITE_")}
    environment |= {f"CHATSITE_{name}": value for name, value in chosen.items()} | {"HOST": "127.0.0.1", "PORT": port}
    command = [sys.executable, "-m", "gunicorn", "wsgi:app"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        site = Site(f"http://127.0.0.1:{port}", folder)
        _wait_for(site, "/readyz" if settings.get("RUNNER") != "external" else "/healthz", process)
        yield site
    finally:
        process.terminate()
        process.wait(30)


def _wait_for(site: Site, path: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(site.url + path, timeout=2):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    raise AssertionError((site.folder / "log").read_text())


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


def ask_and_wait(page: Page, text: str) -> None:
    """Ask, and wait until the answer is there."""
    ask(page, text)
    expect(page.locator(".question").last).to_contain_text(text.splitlines()[0])
    expect(page.locator("article.message-assistant").last).not_to_have_attribute("aria-busy", "true")
    expect(page.get_by_role("button", name="Send")).to_be_visible()
