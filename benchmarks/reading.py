"""`python -m benchmarks.reading`: how smoothly Chromium shows a long answer that is written into a long conversation.

A script writes 3,000 tokens of text and code at 100 tokens a second below 60 messages, on real gunicorn; meanwhile the
page notes the pauses between its frames, and the browser the tasks that kept it for longer than 50 ms. The same page at
rest, measured before, is what to compare with. `--quick` writes 300 tokens.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from benchmarks import seeding
from benchmarks.browser import ARGUMENTS
from benchmarks.figures import Table, p50, quantile, run
from tests.site import running_site

TURNS = 30
TOKENS, FEW_TOKENS = 3000, 300
CHARS_PER_TOKEN = 4
RESTING_MS = 3000
PATIENCE_MS = 120_000
SETTINGS: Any = {
    "WORKERS": "1",
    "LOG_LEVEL": "warning",
    "SCRIPTED_TOKENS_PER_SECOND": "100",
    "ANSWER_TOKENS": str(TOKENS),
    "MESSAGE_CHARS": str(TOKENS * CHARS_PER_TOKEN + 100),
}
PARAGRAPH = "A paragraph with **bold** words and `code` in it, which goes on for two or three lines of text. " * 3
CODE = "```python\n" + "\n".join(f"value_{n} = compute({n}, 'words') * 2  # a line" for n in range(20)) + "\n```"
WATCH = """
window.frames_ = []; window.tasks_ = [];
let last = performance.now();
(function look(now) {
  if (now) { window.frames_.push(now - last); last = now; }
  requestAnimationFrame(look);
})();
new PerformanceObserver((list) => list.getEntries().forEach((entry) => window.tasks_.push(entry.duration)))
  .observe({ type: "longtask" });
"""


@dataclass(frozen=True)
class Watched:
    """Milliseconds between frames, and of the long tasks, over a while."""

    frames: list[float]
    tasks: list[float]


def _measure(quick: bool) -> Iterator[Table]:
    chromium = shutil.which("chromium")
    if chromium is None:
        return
    with tempfile.TemporaryDirectory() as name, running_site(Path(name), **SETTINGS) as site:
        with seeding.entered(site.instance):
            stored = seeding.visitor(1, TURNS)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
            context = browser.new_context(viewport={"width": 1280, "height": 800})
            context.add_cookies([{"name": "chatsite_visitor", "value": stored.token, "url": site.url}])
            context.add_init_script(WATCH)
            page = context.new_page()
            page.goto(f"{site.url}/conversations/{stored.conversation}")
            yield _table(_rest(page), _write(page, FEW_TOKENS if quick else TOKENS))
            browser.close()


def _rest(page: Page) -> Watched:
    """The page when nothing happens."""
    page.wait_for_timeout(1000)
    return _watch(page, lambda: page.wait_for_timeout(RESTING_MS))


def _write(page: Page, tokens: int) -> Watched:
    """The page while an answer of so many tokens is written."""
    text = "\n\n".join([PARAGRAPH, CODE] * 20)[: tokens * CHARS_PER_TOKEN]
    page.locator("#text").fill(f"/say {text}")
    page.wait_for_timeout(1000)

    def ask() -> None:
        page.locator(".send").click()
        page.locator(".stop").wait_for()
        page.locator("#thread [aria-busy]").wait_for(state="detached", timeout=PATIENCE_MS)

    return _watch(page, ask)


def _watch(page: Page, work: Any) -> Watched:
    page.evaluate("() => { window.frames_.length = window.tasks_.length = 0 }")
    work()
    frames, tasks = page.evaluate("[window.frames_, window.tasks_]")
    return Watched(frames, tasks)


def _table(rest: Watched, writing: Watched) -> Table:
    columns = ["page", "frames", "p50 ms", "p95 ms", "p99 ms", "longest ms", "long tasks", "longest of them ms"]
    table = Table("Reading while an answer is written", columns)
    for name, seen in (("at rest", rest), ("an answer is written", writing)):
        shares = [f"{value:.1f}" for value in (p50(seen.frames), *(quantile(seen.frames, q) for q in (0.95, 0.99)))]
        longest = max(seen.tasks, default=0.0)
        table.add(name, len(seen.frames), *shares, f"{max(seen.frames):.0f}", len(seen.tasks), f"{longest:.0f}")
    table.notes.append(
        f"{TOKENS:,} tokens of text and code at 100 tokens a second below {2 * TURNS} messages, in Chromium without a "
        "graphics card, on the processor that serves the site and writes the answer as well."
    )
    return table


if __name__ == "__main__":
    sys.exit(run(__doc__, "reading", _measure))
