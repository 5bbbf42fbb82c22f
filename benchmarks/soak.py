"""`python -m benchmarks.soak`: whether the site stays as it is for hours: memory, open files and threads under a load.

Twelve visitors read, search, export and hold temporary chats, so that the database does not grow. `--minutes` says for
how long. The exit status is 1 if a request failed or a process ended.
"""

from __future__ import annotations

import argparse
import http.client
import random
import re
import secrets
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.support import seed_data
from benchmarks.support.http_client import Client, TimedResponse, site_port
from benchmarks.support.seed_data import StoredVisitor
from benchmarks.support.tables import Table, describe_machine
from tests.support.served_site import ServedSite, running_site, wait_until

VISITOR_COUNT = 12
CONVERSATION_COUNT, EXCHANGE_COUNT = 250, 10
SAMPLE_SECONDS = 10.0
THINKING_SECONDS = 1.0
# What grows at the beginning, until all code has run and all caches are full, says nothing about hours.
WARM_UP_PART = 0.35
SETTINGS: Any = {
    "WORKERS": "2",
    "MAX_QUEUED_PER_USER": "10",
    "SCRIPTED_TOKENS_PER_SECOND": "200",
    "LOG_LEVEL": "warning",
    "LIMIT_ADDRESSES": "0",
}
CONVERSATION_LINK = re.compile(r'href="(/conversations/[\w-]{16})"')
MESSAGE_ID = re.compile(r'id="message-([\w-]{16})"')
MIB = 2**20
REFUSED = 503


@dataclass
class Traffic:
    """What the visitors did: statuses and lost connections by kind of request, and how long each took."""

    statuses: Counter[tuple[str, int | str]] = field(default_factory=Counter)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, kind: str, request: Callable[[], TimedResponse]) -> TimedResponse | None:
        """Do a request and note how it went."""
        try:
            response = request()
        except (OSError, http.client.HTTPException) as error:
            with self.lock:
                self.statuses[kind, type(error).__name__] += 1
            return None
        with self.lock:
            self.statuses[kind, response.status] += 1
            self.seconds.setdefault(kind, []).append(response.seconds)
        return response

    @property
    def failures(self) -> dict[tuple[str, int | str], int]:
        """What should not have happened: a busy site may refuse a request with 503, and says when to come back."""
        return {
            key: count
            for key, count in self.statuses.items()
            if isinstance(key[1], str) or (key[1] >= 500 and key[1] != REFUSED)
        }


@dataclass(frozen=True)
class Sample:
    """What a process held at a moment: seconds since the start, bytes of memory, open files and threads."""

    at: float
    rss: int
    file_count: int
    thread_count: int


def _visit(site: ServedSite, visitor: StoredVisitor, traffic: Traffic, over: threading.Event) -> None:
    client = Client(site_port(site), visitor.token)
    rng = random.Random(visitor.token)
    front = traffic.note("front page", lambda: client.get("/"))
    links = CONVERSATION_LINK.findall(front.body) if front else []
    while not over.wait(rng.expovariate(1 / THINKING_SECONDS)):
        # The site closes connections on which nothing comes for a while, perhaps as the next request is sent.
        client.close()
        choice = rng.random()
        if choice < 0.1:
            traffic.note("export", lambda: client.get(f"{rng.choice(links)}/export?format=html"))
        elif choice < 0.105:
            traffic.note("export of everything", lambda: client.get("/export?format=json"))
        elif choice < 0.3:
            traffic.note("search", lambda: client.get(f"/search?q={rng.choice(['point', 'sentence', 'usual'])}"))
        elif choice < 0.6:
            _hold_temporary_chat(client, traffic)
        else:
            traffic.note("conversation", lambda: client.get(rng.choice(links)))
    client.close()


def _hold_temporary_chat(client: Client, traffic: Traffic) -> None:
    text, key = "/say " + "some words " * 60, secrets.token_hex(8)
    posted = traffic.note(
        "post", lambda: client.post_form("/messages", text=text, idempotency_key=key, conversation="", temporary="1")
    )
    if posted is None or posted.status != 303:
        return
    address = posted.location.partition("?")[0].partition("#")[0]
    page = traffic.note("conversation", lambda: client.get(address))
    message_ids = MESSAGE_ID.findall(page.body) if page else []
    if message_ids:
        traffic.note("stream", lambda: client.get(f"/messages/{message_ids[-1]}/stream"))
    traffic.note("delete", lambda: client.post_form(f"{address}/closure"))


def _take_sample(process: psutil.Process, started: float) -> Sample:
    with process.oneshot():
        return Sample(time.monotonic() - started, process.memory_info().rss, process.num_fds(), process.num_threads())


def slope_per_hour(samples: list[Sample]) -> float:
    """The bytes of memory that a process gains in an hour, by the method of least squares; without the warm-up."""
    late = [sample for sample in samples if sample.at > samples[-1].at * WARM_UP_PART]
    mean_at = sum(sample.at for sample in late) / len(late)
    mean_rss = sum(sample.rss for sample in late) / len(late)
    spread = sum((sample.at - mean_at) ** 2 for sample in late)
    return 3600 * sum((sample.at - mean_at) * (sample.rss - mean_rss) for sample in late) / spread if spread else 0.0


def _soak(site: ServedSite, visitors: list[StoredVisitor], minutes: float) -> tuple[Traffic, dict[str, list[Sample]]]:
    traffic, over, started = Traffic(), threading.Event(), time.monotonic()
    threads = [threading.Thread(target=_visit, args=(site, visitor, traffic, over)) for visitor in visitors]
    for thread in threads:
        thread.start()
    processes = {f"worker {number}": worker for number, worker in enumerate(site.list_workers(), start=1)}
    processes |= {"runner": site.list_runners()[0], "master": psutil.Process(site.process.pid)}
    samples: dict[str, list[Sample]] = {name: [] for name in processes}
    try:
        while time.monotonic() - started < minutes * 60:
            time.sleep(min(SAMPLE_SECONDS, minutes * 6))
            for name, process in processes.items():
                samples[name].append(_take_sample(process, started))
    finally:
        over.set()
        for thread in threads:
            thread.join()
    return traffic, samples


def _memory_table(samples: dict[str, list[Sample]]) -> Table:
    table = Table("Processes", ["process", "RSS first MiB", "last MiB", "MiB an hour", "files", "threads"])
    for name, taken in samples.items():
        table.add_row(
            name,
            f"{taken[0].rss / MIB:.0f}",
            f"{taken[-1].rss / MIB:.0f}",
            f"{slope_per_hour(taken) / MIB:+.1f}",
            f"{taken[0].file_count} to {taken[-1].file_count}",
            f"{taken[0].thread_count} to {taken[-1].thread_count}",
        )
    return table


def _traffic_table(traffic: Traffic) -> Table:
    table = Table("Requests", ["request", "number", "median ms", "slowest ms", "refused", "failed"])
    for kind, seconds in sorted(traffic.seconds.items()):
        failed = sum(count for (name, _), count in traffic.failures.items() if name == kind)
        table.add_row(
            kind,
            len(seconds),
            f"{1000 * sorted(seconds)[len(seconds) // 2]:.0f}",
            f"{1000 * max(seconds):.0f}",
            traffic.statuses[kind, REFUSED],
            failed,
        )
    return table


def main() -> int:
    """Run the load and print what the processes held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=120.0, help="for how long")
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory() as name, running_site(Path(name), **SETTINGS) as site:
        with seed_data.open_app(site.instance):
            visitors = [
                seed_data.create_visitor(CONVERSATION_COUNT, EXCHANGE_COUNT, seed_data.RICH_ANSWER_TEXT)
                for _ in range(VISITOR_COUNT)
            ]
        wait_until(site.is_ready, what="The start")
        traffic, samples = _soak(site, visitors, minutes)
        file_sizes = {path.name: path.stat().st_size / MIB for path in sorted(site.instance.glob("chatsite.db*"))}
    print(f"{minutes:g} minutes on {describe_machine()}\n\n{_memory_table(samples)}\n\n{_traffic_table(traffic)}\n")
    print("Files in MiB: " + ", ".join(f"{name} {size:.1f}" for name, size in file_sizes.items()))
    for (kind, status), count in sorted(traffic.failures.items(), key=str):
        print(f"FAILED: {kind} {status}: {count}")
    return 1 if traffic.failures else 0


if __name__ == "__main__":
    sys.exit(main())
