"""`python -m benchmarks.smoothness`: how smoothly Chromium shows a long answer that is written into a long
conversation.

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

from benchmarks.page_weight import CHROMIUM_ARGUMENTS
from benchmarks.support import seed_data
from benchmarks.support.tables import Table, p50, quantile, run_benchmark
from tests.support.served_site import running_site

EXCHANGE_COUNT = 30
ANSWER_TOKENS, QUICK_ANSWER_TOKENS = 3000, 300
CHARS_PER_TOKEN = 4
IDLE_MS = 3000
TIMEOUT_MS = 120_000
SETTINGS: Any = {
    "WORKERS": "1",
    "LOG_LEVEL": "warning",
    "SCRIPTED_TOKENS_PER_SECOND": "100",
    "MAX_ANSWER_TOKENS": str(ANSWER_TOKENS),
    "MAX_MESSAGE_CHARS": str(ANSWER_TOKENS * CHARS_PER_TOKEN + 100),
}
PARAGRAPH_TEXT = "A paragraph with **bold** words and `code` in it, which goes on for two or three lines of text. " * 3
CODE_TEXT = "```python\n" + "\n".join(f"value_{n} = compute({n}, 'words') * 2  # a line" for n in range(20)) + "\n```"
WATCH_SCRIPT = """
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
class FrameTimes:
    """Milliseconds between frames, and of the long tasks, over a while."""

    frame_ms: list[float]
    long_task_ms: list[float]


def _measure_smoothness(quick: bool) -> Iterator[Table]:
    chromium = shutil.which("chromium")
    if chromium is None:
        return
    with tempfile.TemporaryDirectory() as name, running_site(Path(name), **SETTINGS) as site:
        with seed_data.open_app(site.instance):
            visitor = seed_data.create_visitor(1, EXCHANGE_COUNT)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGUMENTS)
            context = browser.new_context(viewport={"width": 1280, "height": 800})
            context.add_cookies([{"name": site.user_cookie, "value": visitor.token, "url": site.url}])
            context.add_init_script(WATCH_SCRIPT)
            page = context.new_page()
            page.goto(f"{site.url}/conversations/{visitor.conversation_id}")
            yield _make_table(
                _measure_idle(page), _measure_writing(page, QUICK_ANSWER_TOKENS if quick else ANSWER_TOKENS)
            )
            browser.close()


def _measure_idle(page: Page) -> FrameTimes:
    """The page when nothing happens."""
    page.wait_for_timeout(1000)
    return _record_frames(page, lambda: page.wait_for_timeout(IDLE_MS))


def _measure_writing(page: Page, token_count: int) -> FrameTimes:
    """The page while an answer of so many tokens is written."""
    text = "\n\n".join([PARAGRAPH_TEXT, CODE_TEXT] * 20)[: token_count * CHARS_PER_TOKEN]
    page.locator("#text").fill(f"/say {text}")
    page.wait_for_timeout(1000)

    def ask_question() -> None:
        page.locator(".send").click()
        page.locator(".stop").wait_for()
        page.locator("#thread [aria-busy]").wait_for(state="detached", timeout=TIMEOUT_MS)

    return _record_frames(page, ask_question)


def _record_frames(page: Page, action: Any) -> FrameTimes:
    page.evaluate("() => { window.frames_.length = window.tasks_.length = 0 }")
    action()
    frames, tasks = page.evaluate("[window.frames_, window.tasks_]")
    return FrameTimes(frames, tasks)


def _make_table(idle: FrameTimes, writing: FrameTimes) -> Table:
    columns = ["page", "frames", "p50 ms", "p95 ms", "p99 ms", "longest ms", "long tasks", "longest of them ms"]
    table = Table("Reading while an answer is written", columns)
    for name, frame_times in (("at rest", idle), ("an answer is written", writing)):
        shares = [
            f"{value:.1f}"
            for value in (
                p50(frame_times.frame_ms),
                *(quantile(frame_times.frame_ms, quantile_value) for quantile_value in (0.95, 0.99)),
            )
        ]
        longest = max(frame_times.long_task_ms, default=0.0)
        table.add_row(
            name,
            len(frame_times.frame_ms),
            *shares,
            f"{max(frame_times.frame_ms):.0f}",
            len(frame_times.long_task_ms),
            f"{longest:.0f}",
        )
    table.notes.append(
        f"{ANSWER_TOKENS:,} tokens of text and code at 100 tokens a second below {2 * EXCHANGE_COUNT} messages, "
        "in Chromium without a graphics card, on the processor that serves the site and writes the answer as well."
    )
    return table


if __name__ == "__main__":
    sys.exit(run_benchmark(__doc__, "smoothness", _measure_smoothness))
