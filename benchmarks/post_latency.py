"""How long a question takes until it is acknowledged, which is when it is stored, at twenty questions a second."""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.support import seed_data
from benchmarks.support.http_client import Client, site_port
from benchmarks.support.tables import Table, format_milliseconds, p50, p99
from tests.support.served_site import ServedSite, running_site

SETTINGS: Any = {
    "MAX_QUEUED_PER_USER": "1000",
    "MAX_QUEUED": "100000",
    "LIMIT_ADDRESSES": "0",
    "SCRIPTED_TOKENS_PER_SECOND": "100",
    "LOG_LEVEL": "warning",
}
VISITOR_COUNT = 20


def measure_posts(seconds: float) -> list[Table]:
    """Have twenty visitors ask once a second each for so many seconds."""
    with tempfile.TemporaryDirectory() as name, running_site(Path(name), **SETTINGS) as site:
        with seed_data.open_app(site.instance):
            tokens = seed_data.create_visitors(VISITOR_COUNT)
        started = time.monotonic()
        post_seconds = _run_visitors(site, tokens, seconds)
        elapsed_seconds = time.monotonic() - started
    table = Table(
        "Acknowledgement of a question", ["questions", "a second", "p50 ms", "p99 ms", "slowest ms", "refused"]
    )
    accepted = [post_time for post_time in post_seconds if post_time is not None]
    table.add_row(
        len(accepted),
        f"{len(accepted) / elapsed_seconds:.1f}",
        format_milliseconds(p50(accepted)),
        format_milliseconds(p99(accepted)),
        format_milliseconds(max(accepted)),
        len(post_seconds) - len(accepted),
    )
    table.notes.append("Each waits for the disk (`synchronous=FULL`), while other answers are written.")
    return [table]


def _run_visitors(site: ServedSite, tokens: list[str], seconds: float) -> list[float | None]:
    post_seconds: list[float | None] = []
    threads = [
        threading.Thread(target=_run_visitor, args=(site, token, number / VISITOR_COUNT, seconds, post_seconds))
        for number, token in enumerate(tokens)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return post_seconds


def _run_visitor(site: ServedSite, token: str, delay: float, seconds: float, post_seconds: list[float | None]) -> None:
    """Ask once a second, beginning after `delay` seconds; note how long each took, None for one that was refused."""
    client = Client(site_port(site), token)
    client.get("/")
    start = time.monotonic() + delay
    for number in range(int(seconds)):
        time.sleep(max(0.0, start + number - time.monotonic()))
        response = client.post_question(
            "/say An answer that takes about a second to be written. " * 6, f"token-{number}"
        )
        post_seconds.append(response.seconds if response.status == 200 else None)
    client.close()
