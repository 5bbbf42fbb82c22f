"""What Chromium fetches for a conversation on the first visit and on the next one."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, sync_playwright

from benchmarks.support import seed_data
from benchmarks.support.tables import Table
from tests.support.served_site import running_site

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
CONVERSATION_COUNT = 30
EXCHANGE_COUNT = 10
SETTLING_MS = 500


@dataclass
class Visit:
    """How many requests reached the network, and how many bytes came back, headers included."""

    request_count: int = 0
    byte_count: int = 0


def measure_page_weight() -> list[Table]:
    """Visit a conversation twice; no table where there is no Chromium."""
    chromium = shutil.which("chromium")
    if chromium is None:
        return []
    with tempfile.TemporaryDirectory() as name, running_site(Path(name), LOG_LEVEL="warning") as site:
        with seed_data.open_app(site.instance):
            visitor = seed_data.create_visitor(CONVERSATION_COUNT, EXCHANGE_COUNT)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGUMENTS)
            context = browser.new_context()
            context.add_cookies([{"name": site.user_cookie, "value": visitor.token, "url": site.url}])
            visits = [_visit_page(context, f"{site.url}/conversations/{visitor.conversation_id}") for _ in range(2)]
            browser.close()
    return [_make_table(*visits)]


def _visit_page(context: BrowserContext, url: str) -> Visit:
    """Open a page in a new tab and count what the network brings until it is quiet."""
    page, visit, request_ids = context.new_page(), Visit(), set[str]()
    protocol = context.new_cdp_session(page)
    protocol.send("Network.enable")

    def on_response(event: dict[str, Any]) -> None:
        if not event["response"].get("fromDiskCache") and event["response"]["url"].startswith("http"):
            request_ids.add(event["requestId"])

    def on_finished(event: dict[str, Any]) -> None:
        if event["requestId"] in request_ids:
            visit.request_count += 1
            visit.byte_count += int(event["encodedDataLength"])

    protocol.on("Network.responseReceived", on_response)
    protocol.on("Network.requestServedFromCache", lambda event: request_ids.discard(event["requestId"]))
    protocol.on("Network.loadingFinished", on_finished)
    page.goto(url, wait_until="networkidle")
    page.wait_for_timeout(SETTLING_MS)
    page.close()
    return visit


def _make_table(first: Visit, repeated: Visit) -> Table:
    table = Table("Loading a conversation in Chromium", ["visit", "requests", "KiB over the network"])
    table.add_row("first", first.request_count, f"{first.byte_count / 1024:.1f}")
    table.add_row("repeated", repeated.request_count, f"{repeated.byte_count / 1024:.1f}")
    table.notes.append(
        f"{EXCHANGE_COUNT} questions with their answers, {CONVERSATION_COUNT} conversations in the sidebar. "
        f"Repeated to first: {repeated.byte_count / first.byte_count:.2f}."
    )
    return table
