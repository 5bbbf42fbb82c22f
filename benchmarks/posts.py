"""How long a question takes until it is acknowledged, which is when it is stored, at twenty questions a second."""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks import seeding
from benchmarks.client import Client, port
from benchmarks.figures import Table, ms, p50, p99
from tests.site import Site, running_site

SETTINGS: Any = {
    "QUEUE_PER_USER": "1000",
    "QUEUE_TOTAL": "100000",
    "SCRIPTED_TOKENS_PER_SECOND": "100",
    "LOG_LEVEL": "warning",
}
VISITORS = 20


def measure(seconds: float) -> list[Table]:
    """Have twenty visitors ask once a second each for so many seconds."""
    with tempfile.TemporaryDirectory() as name, running_site(Path(name), **SETTINGS) as site:
        with seeding.entered(site.instance):
            tokens = seeding.newcomers(VISITORS)
        started = time.monotonic()
        acks = _ask(site, tokens, seconds)
        passed = time.monotonic() - started
    table = Table(
        "Acknowledgement of a question", ["questions", "a second", "p50 ms", "p99 ms", "slowest ms", "refused"]
    )
    good = [ack for ack in acks if ack is not None]
    table.add(
        len(good), f"{len(good) / passed:.1f}", ms(p50(good)), ms(p99(good)), ms(max(good)), len(acks) - len(good)
    )
    table.notes.append("Each waits for the disk (`synchronous=FULL`), while other answers are written.")
    return [table]


def _ask(site: Site, tokens: list[str], seconds: float) -> list[float | None]:
    acks: list[float | None] = []
    threads = [
        threading.Thread(target=_visit, args=(site, token, number / VISITORS, seconds, acks))
        for number, token in enumerate(tokens)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return acks


def _visit(site: Site, token: str, delay: float, seconds: float, acks: list[float | None]) -> None:
    """Ask once a second, beginning after `delay` seconds; note how long each took, None for one that was refused."""
    client = Client(port(site), token)
    client.get("/")
    start = time.monotonic() + delay
    for number in range(int(seconds)):
        time.sleep(max(0.0, start + number - time.monotonic()))
        answer = client.ask("/say An answer that takes about a second to be written. " * 6, f"token-{number}")
        acks.append(answer.seconds if answer.status == 200 else None)
    client.close()
