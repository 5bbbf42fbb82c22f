"""A storm: visitors ask, read and import while processes are killed, frozen and restarted at random moments.

Each question is `/say` or `/draft` and a text of its own, so that the scripted engine's answer is known to the letter,
whether it is written word after word or decided at the end. A visitor posts a question again and again under one
idempotency key until it is acknowledged, as a browser or a person would. At the end the database must hold every
acknowledged question once, with its exact answer, and every acknowledged file as a whole; after a backup was restored,
all that was acknowledged before that backup was begun.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from tests.chaos.chaos_database import ANSWERS, ATTEMPTS, ChaosDatabase
from tests.chaos.chaos_strikes import StormySite, iter_strikes
from tests.chaos.chaos_visitors import CONVERSATIONS_PER_FILE, TIMEOUT_SECONDS, ChaosImporter, ChaosVisitor
from tests.chaos.postgres_server import running_postgres
from tests.support.served_site import find_free_port

SETTINGS: dict[str, Any] = {
    "RUNNER_MAX_BACKOFF_SECONDS": "0.2",
    "LEASE_SECONDS": "1",
    "TICK_MS": "20",
    "MAX_ATTEMPTS": "100",
    "MAX_QUEUED_PER_USER": "20",
    "MAX_QUEUED": "1000",
    "MAX_MESSAGE_CHARS": "100000",
    "LIMIT_ADDRESSES": "0",
    "SCRIPTED_TOKENS_PER_SECOND": "150",
    "LOG_LEVEL": "warning",
    "WORKERS": "2",
    "THREADS": "64",
}
CALM_SECONDS = 1.0
STRIKE_INTERVAL_SECONDS = (0.05, 0.45)


@dataclass
class ChaosResult:
    """What a storm did and what it left behind."""

    strikes: Counter[str] = field(default_factory=Counter)
    acknowledged_count: int = 0
    repeated_post_count: int = 0
    rolled_back: int = 0
    lost_count: int = 0
    duplicate_count: int = 0
    wrong_count: int = 0
    stuck_count: int = 0
    leftover_chunks: int = 0
    acknowledged_imports: int = 0
    incomplete_imports: int = 0
    integrity: str = ""
    attempts: dict[int, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def is_ok(self) -> bool:
        """Whether everything acknowledged is there, once and exact."""
        error_count = (
            self.lost_count + self.duplicate_count + self.wrong_count + self.stuck_count + self.leftover_chunks
        )
        return self.acknowledged_count > 0 and error_count + self.incomplete_imports == 0 and self.integrity == "ok"

    def __str__(self) -> str:
        strikes = ", ".join(f"{count} {name}" for name, count in sorted(self.strikes.items()))
        return (
            f"{self.strikes.total()} strikes ({strikes}) in {self.seconds:.0f} s: {self.acknowledged_count} "
            f"acknowledged: {self.lost_count} lost, {self.duplicate_count} doubled, {self.wrong_count} wrong, "
            f"{self.stuck_count} stuck, {self.leftover_chunks} chunks left, {self.incomplete_imports} of "
            f"{self.acknowledged_imports} imports incomplete, integrity {self.integrity}; "
            f"{self.repeated_post_count} posts repeated, {self.rolled_back} acknowledged after a backup that was "
            f"restored; answers by attempts {self.attempts}"
        )


@dataclass(frozen=True)
class ChaosPlan:
    """How many strikes and visitors; with `is_long` also restarts, imports and restored databases."""

    strike_count: int
    visitor_count: int = 16
    seed: int | None = None
    is_long: bool = False
    on_postgres: bool = False


def run_chaos(folder: Path, plan: ChaosPlan) -> ChaosResult:
    """Let a storm pass over a site in `folder`; returns the counts."""
    result, stop, started = ChaosResult(), threading.Event(), time.monotonic()
    with running_postgres(folder / "postgres") if plan.on_postgres else nullcontext() as postgres:
        settings = {**SETTINGS, "DATABASE_URL": postgres.url} if postgres else SETTINGS
        database = ChaosDatabase(folder / "instance", postgres.url if postgres else "")
        stormy = StormySite(
            folder / "instance", find_free_port(), settings, database, random.Random(plan.seed), postgres=postgres
        )
        stormy.start()
        try:
            url = stormy.site.url
            visitors = [ChaosVisitor(url, number, stop) for number in range(plan.visitor_count)]
            importer = ChaosImporter(url, stop)
            stormy.people = [*visitors, *([importer] if plan.is_long else [])]
            threads = [threading.Thread(target=person.run_until_stopped, daemon=True) for person in stormy.people]
            for thread in threads:
                thread.start()
            time.sleep(CALM_SECONDS)
            for kind in islice(iter_strikes(stormy.rng, plan.is_long), plan.strike_count):
                result.strikes[kind] += stormy.strike(kind)
                time.sleep(stormy.rng.uniform(*STRIKE_INTERVAL_SECONDS))
            stop.set()
            for thread in threads:
                thread.join(TIMEOUT_SECONDS)
            wait_until_idle(database)
        finally:
            stop.set()
            stormy.stop()
        result.seconds = time.monotonic() - started
        result.repeated_post_count = sum(visitor.repeated_count for visitor in visitors)
        result.rolled_back = stormy.rolled_back
        _check_imports(database, importer.acknowledged, result)
        compare_with_database(
            database, {key: text for visitor in visitors for key, text in visitor.acknowledged.items()}, result
        )
    return result


def wait_until_idle(database: ChaosDatabase) -> None:
    """Wait until nothing waits or is being done, as long as it gets less: what is stuck is counted."""
    fewest, deadline = math.inf, 0.0
    while count := database.count_unfinished():
        if count < fewest:
            fewest, deadline = count, time.monotonic() + 2 * TIMEOUT_SECONDS
        if time.monotonic() > deadline:
            return
        time.sleep(0.2)


def compare_with_database(
    database: ChaosDatabase, expected: dict[str, str], result: ChaosResult, *, answers: str = ANSWERS
) -> None:
    """Compare what is stored with what was acknowledged; `answers` is the query that lists the stored answers."""
    result.acknowledged_count = len(expected)
    rows = database.query(answers)
    seen = Counter(token for token, _, _ in rows)
    result.lost_count = sum(token not in seen for token in expected)
    result.duplicate_count = sum(count - 1 for count in seen.values())
    result.stuck_count = sum(status in {"queued", "generating"} for _, _, status in rows)
    # What was posted, but not acknowledged before the storm was over, has no expected text.
    result.wrong_count = sum(status == "done" and text != expected.get(token, text) for token, text, status in rows)
    result.wrong_count += sum(status not in {"done", "queued", "generating"} for _, _, status in rows)
    result.leftover_chunks = len(database.query("SELECT 1 FROM chunk"))
    result.integrity = database.check_integrity()
    result.attempts = dict(database.query(ATTEMPTS))


def _check_imports(database: ChaosDatabase, expected: list[str], result: ChaosResult) -> None:
    """Check that each acknowledged file was imported as a whole. One that nobody acknowledged may be cut off."""
    result.acknowledged_imports = len(expected)
    whole = database.query(
        "SELECT name FROM import WHERE state = 'done' AND imported_count + duplicate_count = :count",
        count=CONVERSATIONS_PER_FILE,
    )
    result.incomplete_imports = len(set(expected) - {name for (name,) in whole})
