"""How soon another page is painted after a click: the column exchanged, side by side with a whole navigation.

    python -m benchmarks.face [--quick] [--write]

Also what the HTML of a conversation of 60 messages weighs before compression, with the list and without it, in KiB.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from playwright.sync_api import BrowserContext, Page, sync_playwright

from benchmarks.page_weight import CHROMIUM_ARGUMENTS
from benchmarks.support import seed_data
from benchmarks.support.tables import Table, format_ratio, run_benchmark
from tests.browser import network_log
from tests.support.served_site import ServedSite, running_site

CONVERSATION_COUNT = 30
EXCHANGE_COUNT = 30
TRIES = 15
ANSWERS = {"500 characters": "word " * 100, "code and tables": seed_data.RICH_ANSWER_TEXT}
PAGES = {
    "another conversation": "#conversations .row:nth-child({turn}) .row-title",
    "a new conversation": "#sidebar .entry",
    "the overview": ".sidebar-foot a",
}
# So long people hold the button of a mouse, about.
PRESS_MS = 80
# So long a link has the focus before Enter, at least: the time between two keys.
REST_MS = 250
# Until the frame in which the new heading stands; the same for all ways, on the clock that pages share.
CLICK_SCRIPT = """
(selector) => {
  sessionStorage.clicked = Date.now();
  document.querySelector(selector).click();
}
"""
# From an event, which a click or a key is, to the frame in which the exchanged column stands.
EXCHANGE_SCRIPT = """
(event) => {
  window.painted = new Promise((done) => {
    let start;
    addEventListener(event, () => (start = performance.now()), { once: true, capture: true });
    const note = () => requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
    addEventListener("htmx:after:swap", note, { once: true });
  });
}
"""
PAINTED_SCRIPT = """
() => new Promise((done) => requestAnimationFrame(() => setTimeout(() => {
  const paint = performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? performance.now();
  done(performance.timeOrigin + paint - Number(sessionStorage.clicked));
})))
"""
# Without the palette a page is not taken for a whole one, so its links navigate.
NAVIGATE_SCRIPT = "() => document.getElementById('palette').remove()"
FETCH_SCRIPT = "(headers) => fetch(location.href, { headers }).then((response) => response.text())"
COLUMN_HEADERS = {"HX-Request": "true", "HX-Request-Type": "partial", "HX-Target": "div#page"}


def measure_face(quick: bool) -> Iterator[Table]:
    """Switching times and weights; nothing where there is no Chromium."""
    chromium = shutil.which("chromium")
    if chromium is None:
        return
    with tempfile.TemporaryDirectory() as name, running_site(Path(name), LOG_LEVEL="error") as site:
        with seed_data.open_app(site.instance):
            visitors = {
                answers: seed_data.create_visitor(CONVERSATION_COUNT, EXCHANGE_COUNT, text)
                for answers, text in ANSWERS.items()
            }
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGUMENTS)
            urls = {name: f"{site.url}/conversations/{visitor.conversation_id}" for name, visitor in visitors.items()}
            switching = _sign_in(browser.new_context(), site, visitors["500 characters"])
            yield _measure_switching(switching.new_page(), urls["500 characters"], 2 if quick else TRIES)
            # Each in a context of its own: a first load finds an empty cache.
            contexts = {name: _sign_in(browser.new_context(), site, visitor) for name, visitor in visitors.items()}
            yield _measure_weights(contexts, urls)
            browser.close()


def _sign_in(context: BrowserContext, site: ServedSite, visitor: seed_data.StoredVisitor) -> BrowserContext:
    context.add_cookies([{"name": site.user_cookie, "value": visitor.token, "url": site.url}])
    return context


def _measure_switching(page: Page, url: str, tries: int) -> Table:
    columns = [
        "to",
        "mouse p50 ms",
        "p90 ms",
        "key p50 ms",
        "p90 ms",
        "navigation p50 ms",
        "p90 ms",
        "mouse / navigation",
    ]
    table = Table("From the click to the painted page", columns)
    for name, selector in PAGES.items():
        row: list[str] = []
        medians: list[float] = []
        for go in (_click, _press_enter, _navigate):
            times = sorted(_time(page, url, selector.format(turn=turn + 3), go) for turn in range(tries))
            medians.append(statistics.median(times))
            row += [f"{medians[-1]:.0f}", f"{times[int(len(times) * 0.9)]:.0f}"]
        table.add_row(name, *row, format_ratio(medians[0], medians[-1]))
    table.notes.append(f"From a conversation of {2 * EXCHANGE_COUNT} messages; the other ones are as long.")
    table.notes.append(
        f"From the click of a mouse whose button was held for {PRESS_MS} ms, "
        f"or from Enter on a link that had the focus for {REST_MS} ms."
    )
    return table


def _time(page: Page, url: str, selector: str, go: Callable[[Page, str], float]) -> float:
    page.goto(url)
    page.wait_for_load_state("networkidle")
    return go(page, selector)


def _click(page: Page, selector: str) -> float:
    box = page.locator(selector).first.bounding_box()
    if box is None:
        raise RuntimeError(f"{selector} is not on the page.")
    with page.expect_response("**/page_ahead*"):
        page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
        page.mouse.move(box["x"] + box["width"] / 3, box["y"] + box["height"] / 2)
    page.wait_for_load_state("networkidle")
    page.evaluate(EXCHANGE_SCRIPT, "click")
    page.mouse.down()
    page.wait_for_timeout(PRESS_MS)
    page.mouse.up()
    return float(page.evaluate("() => window.painted"))


def _press_enter(page: Page, selector: str) -> float:
    with page.expect_response("**/page_ahead*"):
        page.locator(selector).first.focus()
        # The list was come to by keys.
        page.keyboard.press("Tab")
        page.keyboard.press("Shift+Tab")
    page.wait_for_timeout(REST_MS)
    page.evaluate(EXCHANGE_SCRIPT, "keydown")
    page.keyboard.press("Enter")
    return float(page.evaluate("() => window.painted"))


def _navigate(page: Page, selector: str) -> float:
    page.evaluate(NAVIGATE_SCRIPT)
    with page.expect_navigation(wait_until="load"):
        page.evaluate(CLICK_SCRIPT, selector)
    return float(page.evaluate(PAINTED_SCRIPT))


def _measure_weights(contexts: dict[str, BrowserContext], urls: dict[str, str]) -> Table:
    columns = ["answers of", "page KiB", "column KiB", "first load KiB over the network", "requests"]
    table = Table(f"What {2 * EXCHANGE_COUNT} messages weigh", columns)
    for name, context in contexts.items():
        loaded = [each for each in network_log.record_page_load(context, urls[name]) if each.byte_count]
        page = context.new_page()
        page.goto(urls[name])
        sizes = [len(page.evaluate(FETCH_SCRIPT, headers).encode()) / 1024 for headers in ({}, COLUMN_HEADERS)]
        weight = sum(each.byte_count for each in loaded) / 1024
        table.add_row(name, *(f"{size:.1f}" for size in sizes), f"{weight:.1f}", len(loaded))
    table.notes.append("HTML before compression; the first load compressed, with all that the page needs.")
    return table


def main() -> int:
    """Measure, print, and with `--write` keep the tables in docs/benchmarks.md."""
    return run_benchmark(__doc__, "face", measure_face)


if __name__ == "__main__":
    sys.exit(main())
