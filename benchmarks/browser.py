"""What Chromium fetches for a conversation on the first visit and on the next one."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, sync_playwright

from benchmarks import seeding
from benchmarks.figures import Table
from tests.site import running_site

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
CONVERSATIONS = 30
TURNS = 10
SETTLING_MS = 500


@dataclass
class Visit:
    """How many requests reached the network, and how many bytes came back, headers included."""

    requests: int = 0
    bytes: int = 0


def measure() -> list[Table]:
    """Visit a conversation twice; no table where there is no Chromium."""
    chromium = shutil.which("chromium")
    if chromium is None:
        return []
    with tempfile.TemporaryDirectory() as name, running_site(Path(name), LOG_LEVEL="warning") as site:
        with seeding.entered(site.instance):
            stored = seeding.visitor(CONVERSATIONS, TURNS)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
            context = browser.new_context()
            context.add_cookies([{"name": "chatsite_visitor", "value": stored.token, "url": site.url}])
            visits = [_visit(context, f"{site.url}/conversations/{stored.conversation}") for _ in range(2)]
            browser.close()
    return [_table(*visits)]


def _visit(context: BrowserContext, address: str) -> Visit:
    """Open a page in a new tab and count what the network brings until it is quiet."""
    page, visit, fetched = context.new_page(), Visit(), set[str]()
    protocol = context.new_cdp_session(page)
    protocol.send("Network.enable")

    def received(event: dict[str, Any]) -> None:
        if not event["response"].get("fromDiskCache") and event["response"]["url"].startswith("http"):
            fetched.add(event["requestId"])

    def finished(event: dict[str, Any]) -> None:
        if event["requestId"] in fetched:
            visit.requests += 1
            visit.bytes += int(event["encodedDataLength"])

    protocol.on("Network.responseReceived", received)
    protocol.on("Network.requestServedFromCache", lambda event: fetched.discard(event["requestId"]))
    protocol.on("Network.loadingFinished", finished)
    page.goto(address, wait_until="networkidle")
    page.wait_for_timeout(SETTLING_MS)
    page.close()
    return visit


def _table(first: Visit, again: Visit) -> Table:
    table = Table("Loading a conversation in Chromium", ["visit", "requests", "KiB over the network"])
    table.add("first", first.requests, f"{first.bytes / 1024:.1f}")
    table.add("repeated", again.requests, f"{again.bytes / 1024:.1f}")
    table.notes.append(
        f"{TURNS} questions with their answers, {CONVERSATIONS} conversations in the sidebar. Repeated to first: "
        f"{again.bytes / first.bytes:.2f}."
    )
    return table
