"""How soon a page is shown and how soon it responds to input, in Chromium, on a desktop and on a slow phone.

    python -m benchmarks.frontend [--quick] [--write]

The phone has a processor four times as slow as this machine, and a network of 1.6 Mbit/s with 150 ms to the site.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from benchmarks.page_weight import CHROMIUM_ARGUMENTS
from benchmarks.support import seed_data
from benchmarks.support.tables import Table, format_ratio, run_benchmark
from tests.browser import network_log
from tests.support.served_site import ServedSite, running_site

CONVERSATION_COUNT = 30
EXCHANGE_COUNT = 30
TRIES = 5
# What Open WebUI 0.12.4 loads for an empty page, measured in the same way.
OPEN_WEBUI_WEIGHT = {"KiB": 2899, "requests": 244, "nodes": 5569}
PHONE_OPTIONS: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
SLOW_NETWORK = {"offline": False, "latency": 150, "downloadThroughput": 1.6e6 / 8, "uploadThroughput": 750e3 / 8}
WATCH_SCRIPT = """
window.seen = { lcp: 0, cls: 0, long: 0, slowest: 0 };
const watch = (type, note) => new PerformanceObserver((list) => list.getEntries().forEach(note))
  .observe({ type, buffered: true, durationThreshold: 16 });
watch("largest-contentful-paint", (entry) => { seen.lcp = entry.startTime; });
watch("layout-shift", (entry) => { seen.cls += entry.hadRecentInput ? 0 : entry.value; });
watch("longtask", (entry) => { seen.long += Math.max(0, entry.duration - 50); });
watch("event", (entry) => { seen.slowest = Math.max(seen.slowest, entry.duration); });
"""
READ_SCRIPT = """
() => ({ ...seen, fcp: performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0,
  nodes: document.getElementsByTagName("*").length })
"""
# When the click was, and when the first frame after it was drawn, on the clock that pages share.
NOTE_CLICK_SCRIPT = "addEventListener('click', () => { sessionStorage.clicked = Date.now() }, true)"
AWAIT_QUESTION_SCRIPT = """
() => {
  window.drawn = new Promise((done) => new MutationObserver(() => {
    requestAnimationFrame(() => setTimeout(() => done(Date.now() - Number(sessionStorage.clicked))));
  }).observe(document.getElementById("thread"), { childList: true }));
}
"""
NEXT_FRAME_SCRIPT = (
    "() => new Promise((done) => requestAnimationFrame(() => setTimeout(() => done(performance.now()))))"
)


@dataclass(frozen=True)
class Device:
    """A device: its name, how its browser is set, and whether it is slow."""

    name: str
    options: dict[str, Any]
    is_slow: bool


DEVICES = (Device("desktop", {"viewport": {"width": 1280, "height": 800}}, False), Device("phone", PHONE_OPTIONS, True))


def measure_frontend(quick: bool) -> Iterator[Table]:
    """Loading, weight and interaction; nothing where there is no Chromium."""
    chromium = shutil.which("chromium")
    if chromium is None:
        return
    tries = 1 if quick else TRIES
    with tempfile.TemporaryDirectory() as name, running_site(Path(name), LOG_LEVEL="error") as site:
        with seed_data.open_app(site.instance):
            visitor = seed_data.create_visitor(CONVERSATION_COUNT, EXCHANGE_COUNT, seed_data.RICH_ANSWER_TEXT)
        pages = {"empty": "/", "60 messages": f"/conversations/{visitor.conversation_id}", "models": "/models"}
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGUMENTS)
            open_page = _make_page_opener(browser, site, visitor.token)
            yield _measure_loading(open_page, site, pages, tries)
            yield _measure_weights(open_page, site, pages)
            yield _measure_interactions(open_page, site, pages["60 messages"], tries)
            browser.close()


OpenPage = Callable[[Device], tuple[BrowserContext, Page]]


def _make_page_opener(browser: Browser, site: ServedSite, token: str) -> OpenPage:
    """Makes the first tab of somebody who has conversations and was never here with this browser."""

    def open_page(device: Device) -> tuple[BrowserContext, Page]:
        context = browser.new_context(**device.options)
        context.add_cookies([{"name": site.user_cookie, "value": token, "url": site.url}])
        page = context.new_page()
        page.add_init_script(WATCH_SCRIPT)
        page.add_init_script(NOTE_CLICK_SCRIPT)
        if device.is_slow:
            protocol = context.new_cdp_session(page)
            protocol.send("Network.enable")
            protocol.send("Network.emulateNetworkConditions", SLOW_NETWORK)
            protocol.send("Emulation.setCPUThrottlingRate", {"rate": 4})
        return context, page

    return open_page


def _measure_loading(open_page: OpenPage, site: ServedSite, pages: dict[str, str], tries: int) -> Table:
    columns = ["page", "on a", "first paint ms", "largest paint ms", "blocked ms", "layout shift", "elements"]
    table = Table("Loading a page for the first time", columns)
    for page, path in pages.items():
        for device in DEVICES:
            samples = [_load_page(open_page, device, site.url + path) for _ in range(tries)]
            median = {name: statistics.median(sample[name] for sample in samples) for name in samples[0]}
            times = [f"{median[name]:.0f}" for name in ("fcp", "lcp", "long")]
            table.add_row(page, device.name, *times, f"{median['cls']:.3f}", f"{median['nodes']:.0f}")
    table.notes.append("Nothing is in the browser's cache. *Blocked* is what tasks took beyond 50 ms each.")
    return table


def _load_page(open_page: OpenPage, device: Device, url: str) -> dict[str, float]:
    context, page = open_page(device)
    page.goto(url, wait_until="load")
    page.wait_for_timeout(700)
    timings: dict[str, float] = page.evaluate(READ_SCRIPT)
    context.close()
    return timings


def _measure_weights(open_page: OpenPage, site: ServedSite, pages: dict[str, str]) -> Table:
    columns = ["page", "requests", "KiB", "elements", "requests again", "KiB again"]
    table = Table("What a page weighs", columns)
    for name, path in pages.items():
        context, page = open_page(DEVICES[0])
        first, repeated = (_weigh_page(context, site.url + path) for _ in range(2))
        page.goto(site.url + path)
        nodes = page.evaluate(READ_SCRIPT)["nodes"]
        context.close()
        table.add_row(name, first[0], f"{first[1]:.1f}", nodes, repeated[0], f"{repeated[1]:.1f}")
        if name == "empty":
            parts = zip(OPEN_WEBUI_WEIGHT.items(), (first[1], first[0], float(nodes)), strict=True)
            comparison = ", ".join(
                f"{theirs:,} {what} ({format_ratio(theirs, ours)} times)" for (what, theirs), ours in parts
            )
            table.notes.append(f"Open WebUI 0.12.4, an empty page: {comparison}.")
    table.notes.append("Compressed, headers included, with the service worker and the page that it keeps.")
    return table


def _weigh_page(context: BrowserContext, url: str) -> tuple[int, float]:
    """How many requests reached the network, and how many KiB came back."""
    sizes = [response.byte_count for response in network_log.record_page_load(context, url) if response.byte_count]
    return len(sizes), sum(sizes) / 1024


def _measure_interactions(open_page: OpenPage, site: ServedSite, path: str, tries: int) -> Table:
    table = Table(
        "From input to the screen, in a conversation of 60 messages",
        ["what", *(each_device.name for each_device in DEVICES)],
    )
    cells_by_name: dict[str, list[str]] = {}
    for device in DEVICES:
        for name, act in INTERACTIONS.items():
            times = []
            for _ in range(tries):
                context, page = open_page(device)
                page.goto(site.url + path, wait_until="networkidle")
                times.append(act(page))
                context.close()
            cells_by_name.setdefault(name, []).append(f"{statistics.median(times):.0f} ms")
    for name, cells in cells_by_name.items():
        table.add_row(name, *cells)
    table.notes.append("Medians. How soon another page is shown is in `benchmarks.face`.")
    return table


def _time_typing(page: Page) -> float:
    """The slowest of some keys, until its letter was drawn."""
    page.locator("#text").focus()
    page.keyboard.type("What about it?", delay=30)
    page.wait_for_timeout(300)
    return float(page.evaluate("seen.slowest"))


def _time_sending(page: Page) -> float:
    """Until the question stands in the conversation."""
    page.locator("#text").fill("What about it?")
    page.evaluate(AWAIT_QUESTION_SCRIPT)
    page.locator(".send").click()
    return float(page.evaluate("window.drawn"))


def _time_opening_picker(page: Page) -> float:
    """Until the list of who answers is drawn."""
    page.locator("#model-picker summary").click()
    page.evaluate(NEXT_FRAME_SCRIPT)
    page.wait_for_timeout(200)
    return float(page.evaluate("seen.slowest"))


INTERACTIONS: dict[str, Callable[[Page], float]] = {
    "a letter": _time_typing,
    "send, until the question stands there": _time_sending,
    "open who answers": _time_opening_picker,
}


def main() -> int:
    """Measure, print, and with `--write` keep the tables in docs/benchmarks.md."""
    return run_benchmark(__doc__, "frontend", measure_frontend)


if __name__ == "__main__":
    sys.exit(main())
