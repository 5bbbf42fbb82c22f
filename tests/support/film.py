"""The film of the README: a question, the end of the whole server in the middle of the answer, and the rest of it.

Nothing is staged but the words: a real site and a real runner are killed, and started again. A script writes the answer
in place of a model, so that every film shows the same one.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.support.served_site import REPOSITORY_ROOT, find_free_port, running_site, wait_until

FILM_SIZE = (880, 560)
WEBP_QUALITY = 75
FRAME_SECONDS = 0.1
# A busy machine takes a picture more slowly, which nobody wants to watch.
LONGEST_FRAME_SECONDS = 0.2
LAST_FRAME_SECONDS = 3.0
QUESTION = "How does a heat pump get warmth out of cold air?"
ANSWER = """Even air at **-5 °C** holds heat; a heat pump only has to move it.

1. **Collect.** Outside, a fluid that boils at about -40 °C takes up heat from the air and becomes a gas.
2. **Compress.** A compressor squeezes the gas, which makes it hot, about 60 °C.
3. **Deliver.** Inside, the hot gas warms the water of the radiators, and turns into a fluid again.
4. **Expand.** A valve lets the pressure go, the fluid gets very cold, and the round begins anew.

So one unit of electricity moves three or four units of heat.
"""
SETTINGS = {"RUNNER": "external", "DEFAULT_MODEL": "scripted", "LEASE_SECONDS": "1", "LOG_LEVEL": "error"}
RUNNER_PROGRAM = """
import sys
from chatsite.cli.main import main
from chatsite.engine import scripted
answer = sys.argv.pop()
scripted.reply_for = lambda _question: answer
sys.argv[1:] = ["runner"]
main()
"""
# Written over the top bar: what is typed into a terminal meanwhile.
CAPTION_SCRIPT = """(text) => {
  const caption = document.querySelector("#film-caption") ?? document.createElement("p");
  caption.id = "film-caption";
  caption.textContent = text;
  caption.hidden = !text;
  Object.assign(caption.style, {position: "fixed", insetInline: "0", insetBlockStart: "0.7rem",
    inlineSize: "fit-content", margin: "auto", padding: "0.35rem 1rem",
    borderRadius: "0.5rem", background: "#1c1d1f", color: "#fff",
    font: "600 0.95rem/1.5 ui-monospace, monospace", zIndex: "9"});
  document.documentElement.append(caption);
}"""


class Camera:
    """Takes pictures of a page. Each is shown for as long as it was the newest one, or a little less."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._pictures: list[tuple[float, Image.Image]] = []

    def record(self, is_over: Callable[[], bool], most_seconds: float) -> None:
        """Take pictures until a condition holds, or for `most_seconds`."""
        end = time.monotonic() + most_seconds
        while time.monotonic() < end and not is_over():
            taken_at = time.monotonic()
            picture = Image.open(io.BytesIO(self._page.screenshot(caret="initial")))
            self._pictures.append((taken_at, picture.convert("RGB")))
            self._page.wait_for_timeout(max(0, FRAME_SECONDS - (time.monotonic() - taken_at)) * 1000)

    def save(self, path: Path) -> None:
        """Write the film, as an animated picture that begins anew at its end."""
        times = [taken_at for taken_at, _ in self._pictures]
        durations = [round(1000 * min(after - before, LONGEST_FRAME_SECONDS)) for before, after in pairwise(times)]
        first, *others = [picture for _, picture in self._pictures]
        options: dict[str, Any] = {"quality": WEBP_QUALITY, "method": 6, "minimize_size": True, "kmax": 200}
        durations.append(round(1000 * LAST_FRAME_SECONDS))
        first.save(path, save_all=True, append_images=others, duration=durations, loop=0, **options)


def take_film(browser: Browser, seed_instance: Callable[[Path], None], path: Path) -> Path:
    """Film how an answer outlives the server, on an instance that `seed_instance` fills. Return `path`."""
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), str(find_free_port())
        seed_instance(folder)
        settings = {**SETTINGS, "WORKERS": "1", "THREADS": "40"}
        with running_site(folder, wait_until_ready=False, port=port, **settings) as site:
            wait_until(site.is_alive, what="The first page")
            context = browser.new_context(
                viewport={"width": FILM_SIZE[0], "height": FILM_SIZE[1]}, locale="en-GB", base_url=site.url
            )
            token = (folder / "terminal_token").read_text().strip()
            context.add_cookies([{"name": site.user_cookie, "value": token, "url": site.url}])
            page = context.new_page()
            with _running_runner(folder) as runner:
                wait_until(site.is_ready, what="The runner")
                page.goto("/")
                camera = Camera(page)
                _ask(page, camera)
                page.evaluate(CAPTION_SCRIPT, "$ kill -9 <the whole server>")
                runner.kill()
                os.killpg(site.process.pid, signal.SIGKILL)
                camera.record(lambda: False, 2.5)
        page.evaluate(CAPTION_SCRIPT, "$ make run")
        with running_site(folder, wait_until_ready=False, port=port, **settings), _running_runner(folder):
            finished = page.get_by_role("button", name="Send")
            written = len(page.locator(".prose").last.inner_text())
            camera.record(lambda: len(page.locator(".prose").last.inner_text()) > written, 30)
            page.evaluate(CAPTION_SCRIPT, "The answer goes on.")
            camera.record(finished.is_visible, 30)
            expect(page.locator(".prose").last).to_contain_text("three or four units of heat")
            camera.record(lambda: False, FRAME_SECONDS)
        context.close()
    camera.save(path)
    return path


def _ask(page: Page, camera: Camera) -> None:
    """Type the question and send it, and wait until a part of the answer is there."""
    camera.record(lambda: False, 0.8)
    box = page.get_by_role("textbox", name="Message")
    for end in range(3, len(QUESTION) + 3, 3):
        box.fill(QUESTION[:end])
        camera.record(lambda: False, FRAME_SECONDS / 2)
    page.keyboard.press("Enter")
    camera.record(page.get_by_text("Compress.").is_visible, 30)


@contextmanager
def _running_runner(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a runner whose answers are the one of the film."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("CHATSITE_")}
    environ |= {f"CHATSITE_{name}": value for name, value in {**SETTINGS, "SCRIPTED_TOKENS_PER_SECOND": "30"}.items()}
    command = [sys.executable, "-c", RUNNER_PROGRAM, ANSWER]
    runner = subprocess.Popen(command, cwd=REPOSITORY_ROOT, env={**environ, "CHATSITE_INSTANCE": str(folder)})
    try:
        yield runner
    finally:
        runner.kill()
        runner.wait()
