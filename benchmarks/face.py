"""How soon a page is seen and how soon it answers a finger, in Chromium, on a desktop and on a slow phone.

    python -m benchmarks.face [--quick] [--write]

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

from benchmarks import seeding
from benchmarks.browser import ARGUMENTS
from benchmarks.figures import Table, ratio, run
from tests.browser import fetching
from tests.site import Site, running_site

CONVERSATIONS = 30
TURNS = 30
TRIES = 5
# What Open WebUI 0.12.4 loads for an empty page, measured in the same way.
RIVAL = {"KiB": 2899, "requests": 244, "nodes": 5569}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
SLOW = {"offline": False, "latency": 150, "downloadThroughput": 1.6e6 / 8, "uploadThroughput": 750e3 / 8}
WATCH = """
window.seen = { lcp: 0, cls: 0, long: 0, slowest: 0 };
const watch = (type, note) => new PerformanceObserver((list) => list.getEntries().forEach(note))
  .observe({ type, buffered: true, durationThreshold: 16 });
watch("largest-contentful-paint", (entry) => { seen.lcp = entry.startTime; });
watch("layout-shift", (entry) => { seen.cls += entry.hadRecentInput ? 0 : entry.value; });
watch("longtask", (entry) => { seen.long += Math.max(0, entry.duration - 50); });
watch("event", (entry) => { seen.slowest = Math.max(seen.slowest, entry.duration); });
"""
READ = """
() => ({ ...seen, fcp: performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0,
  nodes: document.getElementsByTagName("*").length })
"""
# When the click was, and when the first frame after it was drawn, on the clock that pages share.
NOTE = "addEventListener('click', () => { sessionStorage.clicked = Date.now() }, true)"
SINCE = """
() => new Promise((done) => requestAnimationFrame(() => setTimeout(() => {
  const paint = performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? performance.now();
  done(performance.timeOrigin + paint - Number(sessionStorage.clicked));
})))
"""
AWAIT_QUESTION = """
() => {
  window.drawn = new Promise((done) => new MutationObserver(() => {
    requestAnimationFrame(() => setTimeout(() => done(Date.now() - Number(sessionStorage.clicked))));
  }).observe(document.getElementById("thread"), { childList: true }));
}
"""
NEXT_FRAME = "() => new Promise((done) => requestAnimationFrame(() => setTimeout(() => done(performance.now()))))"


@dataclass(frozen=True)
class Form:
    """A device: its name, how its browser is set, and whether it is slow."""

    name: str
    options: dict[str, Any]
    slow: bool


FORMS = (Form("desktop", {"viewport": {"width": 1280, "height": 800}}, False), Form("phone", PHONE, True))


def measure(quick: bool) -> Iterator[Table]:
    """Loading, weight and interaction; nothing where there is no Chromium."""
    chromium = shutil.which("chromium")
    if chromium is None:
        return
    tries = 1 if quick else TRIES
    with tempfile.TemporaryDirectory() as name, running_site(Path(name), LOG_LEVEL="error") as site:
        with seeding.entered(site.instance):
            stored = seeding.visitor(CONVERSATIONS, TURNS, seeding.RICH)
        pages = {"empty": "/", "60 messages": f"/conversations/{stored.conversation}", "models": "/models"}
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
            visit = _visits(browser, site, stored.token)
            yield _loading(visit, site, pages, tries)
            yield _weights(visit, site, pages)
            yield _interaction(visit, site, pages["60 messages"], tries)
            browser.close()


Visits = Callable[[Form], tuple[BrowserContext, Page]]


def _visits(browser: Browser, site: Site, token: str) -> Visits:
    """Makes the first tab of somebody who has conversations and was never here with this browser."""

    def visit(form: Form) -> tuple[BrowserContext, Page]:
        context = browser.new_context(**form.options)
        context.add_cookies([{"name": "chatsite_visitor", "value": token, "url": site.url}])
        page = context.new_page()
        page.add_init_script(WATCH)
        page.add_init_script(NOTE)
        if form.slow:
            protocol = context.new_cdp_session(page)
            protocol.send("Network.enable")
            protocol.send("Network.emulateNetworkConditions", SLOW)
            protocol.send("Emulation.setCPUThrottlingRate", {"rate": 4})
        return context, page

    return visit


def _loading(visit: Visits, site: Site, pages: dict[str, str], tries: int) -> Table:
    columns = ["page", "on a", "first paint ms", "largest paint ms", "blocked ms", "layout shift", "elements"]
    table = Table("Loading a page for the first time", columns)
    for page, path in pages.items():
        for form in FORMS:
            seen = [_load(visit, form, site.url + path) for _ in range(tries)]
            median = {name: statistics.median(each[name] for each in seen) for name in seen[0]}
            times = [f"{median[name]:.0f}" for name in ("fcp", "lcp", "long")]
            table.add(page, form.name, *times, f"{median['cls']:.3f}", f"{median['nodes']:.0f}")
    table.notes.append("Nothing is in the browser's cache. *Blocked* is what tasks took beyond 50 ms each.")
    return table


def _load(visit: Visits, form: Form, address: str) -> dict[str, float]:
    context, page = visit(form)
    page.goto(address, wait_until="load")
    page.wait_for_timeout(700)
    seen: dict[str, float] = page.evaluate(READ)
    context.close()
    return seen


def _weights(visit: Visits, site: Site, pages: dict[str, str]) -> Table:
    columns = ["page", "requests", "KiB", "elements", "requests again", "KiB again"]
    table = Table("What a page weighs", columns)
    for name, path in pages.items():
        context, page = visit(FORMS[0])
        first, again = (_weigh(context, site.url + path) for _ in range(2))
        page.goto(site.url + path)
        nodes = page.evaluate(READ)["nodes"]
        context.close()
        table.add(name, first[0], f"{first[1]:.1f}", nodes, again[0], f"{again[1]:.1f}")
        if name == "empty":
            parts = zip(RIVAL.items(), (first[1], first[0], float(nodes)), strict=True)
            said = ", ".join(f"{theirs:,} {what} ({ratio(theirs, ours)} times)" for (what, theirs), ours in parts)
            table.notes.append(f"Open WebUI 0.12.4, an empty page: {said}.")
    table.notes.append("Compressed, headers included, with the service worker and the page that it keeps.")
    return table


def _weigh(context: BrowserContext, address: str) -> tuple[int, float]:
    """How many requests reached the network, and how many KiB came back."""
    sizes = [each.bytes for each in fetching.visit(context, address) if each.bytes]
    return len(sizes), sum(sizes) / 1024


def _interaction(visit: Visits, site: Site, path: str, tries: int) -> Table:
    table = Table("From the finger to the screen, in a conversation of 60 messages", ["what", *(f.name for f in FORMS)])
    found: dict[str, list[str]] = {}
    for form in FORMS:
        for name, act in ACTS.items():
            times = []
            for _ in range(tries):
                context, page = visit(form)
                page.goto(site.url + path, wait_until="networkidle")
                times.append(act(page))
                context.close()
            found.setdefault(name, []).append(f"{statistics.median(times):.0f} ms")
    for name, cells in found.items():
        table.add(name, *cells)
    table.notes.append("Medians. To another conversation: from the click to the first paint of its page.")
    return table


def _type(page: Page) -> float:
    """The slowest of some keys, until its letter was drawn."""
    page.locator("#text").focus()
    page.keyboard.type("What about it?", delay=30)
    page.wait_for_timeout(300)
    return float(page.evaluate("seen.slowest"))


def _send(page: Page) -> float:
    """Until the question stands in the conversation."""
    page.locator("#text").fill("What about it?")
    page.evaluate(AWAIT_QUESTION)
    page.locator(".send").click()
    return float(page.evaluate("window.drawn"))


def _open(page: Page) -> float:
    """Until the list of who answers is drawn."""
    page.locator("#answerer summary").click()
    page.evaluate(NEXT_FRAME)
    page.wait_for_timeout(200)
    return float(page.evaluate("seen.slowest"))


def _switch(hover: bool) -> Callable[[Page], float]:
    """Until another conversation is painted, pointed at for a moment first or not."""

    def act(page: Page) -> float:
        page.evaluate("document.querySelector('#sidebar').matches(':popover-open') || innerWidth > 832"
                      " || document.querySelector('#sidebar').showPopover()")  # fmt: skip
        link = page.locator("#conversations .row-title").nth(3)
        address = str(link.get_attribute("href"))
        if hover:
            link.hover()
            page.wait_for_timeout(2000)
            link.click()
        else:
            link.evaluate("(link) => link.click()")
        page.wait_for_url(f"**{address}")
        page.wait_for_load_state("load")
        return float(page.evaluate(SINCE))

    return act


ACTS: dict[str, Callable[[Page], float]] = {
    "a letter": _type,
    "send, until the question stands there": _send,
    "open who answers": _open,
    "to another conversation": _switch(hover=False),
    "to another conversation, pointed at first": _switch(hover=True),
}


def main() -> int:
    """Measure, print, and with `--write` keep the tables in docs/benchmarks.md."""
    return run(__doc__, "face", measure)


if __name__ == "__main__":
    sys.exit(main())
