"""A storm over a site whose model is another process's: the runner and the server of models are killed in turn.

The server writes what the script says, so that each answer is known to the letter. An answer whose server was away for
too long may fail: then it says why and has kept its text, and is whole after Continue or Try again.
"""

from __future__ import annotations

import random
import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.chaos_database import ANSWERS, ChaosDatabase
from tests.chaos.chaos_run import SETTINGS, ChaosResult, compare_with_database, wait_until_idle
from tests.chaos.chaos_strikes import StormySite
from tests.chaos.chaos_visitors import NETWORK_ERRORS, TIMEOUT_SECONDS, ChaosVisitor
from tests.support.engine_server import EngineServer
from tests.support.served_site import find_free_port, wait_until

ENDPOINT = "cluster"
VISITOR_COUNT = 6
AWAY_SECONDS = (0.0, 1.0)
CALM_SECONDS = (0.0, 0.5)
TOKENS_PER_SECOND = 40.0
HALF_WRITTEN = "SELECT 1 FROM generation WHERE status = 'generating' AND token_count > 0"
# An answer that was tried again has a generation for each try.
NEWEST_ANSWERS = f"""{ANSWERS} AND generation.id =
    (SELECT max(newest.id) FROM generation AS newest WHERE newest.message_id = answer.id)"""
NAMELESS_FAILURES = "SELECT count(*) FROM generation WHERE status = 'failed' AND error IS NULL"


@dataclass
class EndpointStormResult(ChaosResult):
    """What the storm left behind, and what became of answers that failed meanwhile.

    `failed_count` answers failed and were tried again, `nameless_count` of them without a reason; `spoiled_count` had
    kept something else than the beginning of their text.
    """

    failed_count: int = 0
    nameless_count: int = 0
    spoiled_count: int = 0

    @property
    def is_ok(self) -> bool:
        """Whether everything acknowledged is there, once and exact, and every failure had a reason."""
        return super().is_ok and self.nameless_count + self.spoiled_count == 0

    def __str__(self) -> str:
        failures = f"{self.failed_count} failed, {self.nameless_count} without a reason, {self.spoiled_count} spoiled"
        return f"{super().__str__()}; {failures}"


class StubbornVisitor(ChaosVisitor):
    """Somebody who asks, watches the answer, and has it continued until it is whole."""

    failed_count = 0
    spoiled_count = 0

    def _wait_for_answer(self, conversation: str) -> bool:
        """Watch the answer until it is whole, however often it takes; what is stuck ends the wait."""
        while super()._wait_for_answer(conversation):
            try:
                if self._has_whole_answer(conversation):
                    return True
            except NETWORK_ERRORS:
                time.sleep(0.05)
        return False

    def _has_whole_answer(self, conversation: str) -> bool:
        """Return whether the newest answer is whole; have it continued otherwise."""
        page, key = self._visitor.get(f"/conversations/{conversation}"), list(self.acknowledged)[-1]
        modes = re.findall(r'name="mode" value="(continue|retry)"', page)
        if not modes:
            return True
        answer = self._visitor.list_message_ids(conversation)[-1]
        self.failed_count += 1
        self.spoiled_count += not self.acknowledged[key].startswith(self._visitor.get_message_text(answer))
        self._visitor.post_form(f"/messages/{answer}/generations", {"mode": modes[0]})
        return False


def _wait_for_text(database: ChaosDatabase, rng: random.Random) -> None:
    """Wait until an answer is in the middle, so that a strike hits it somewhere."""
    wait_until(lambda: database.query(HALF_WRITTEN), what="An answer in the middle")
    time.sleep(rng.uniform(*CALM_SECONDS))


def _count_done(database: ChaosDatabase) -> int:
    return int(database.query("SELECT count(*) FROM generation WHERE status = 'done'")[0][0])


def run_endpoint_storm(folder: Path, strike_count: int, *, family: str = "", seed: int = 1) -> EndpointStormResult:
    """Let the storm pass over a site in `folder`; returns the counts.

    The server goes on with answers that were begun; it does not if it is taken for one of another `family`.
    """
    result, stop, started = EndpointStormResult(), threading.Event(), time.monotonic()
    instance = folder / "instance"
    server = EngineServer(TOKENS_PER_SECOND)
    instance.mkdir()
    lines = [
        f"[{ENDPOINT}]",
        f'endpoint = "{server.url}"',
        "max_answers = 16",
        f'family = "{family}"' if family else "",
    ]
    (instance / "models.toml").write_text("\n".join(lines))
    settings = {**SETTINGS, "DEFAULT_MODEL": f"{ENDPOINT}/scripted"}
    database = ChaosDatabase(instance)
    stormy = StormySite(instance, find_free_port(), settings, database, random.Random(seed))
    server.start()
    stormy.start()
    visitors = [StubbornVisitor(stormy.site.url, number, stop) for number in range(VISITOR_COUNT)]
    threads = [threading.Thread(target=visitor.run_until_stopped, daemon=True) for visitor in visitors]
    try:
        for thread in threads:
            thread.start()
        for _ in range(strike_count):
            done_count = _count_done(database)
            _wait_for_text(database, stormy.rng)
            result.strikes["runner"] += stormy.strike("runner")
            _wait_for_text(database, stormy.rng)
            server.kill()
            result.strikes["server"] += 1
            time.sleep(stormy.rng.uniform(*AWAY_SECONDS))
            server.start()
            wait_until(lambda before=done_count: _count_done(database) > before, what="The end of an answer")
        stop.set()
        for thread in threads:
            thread.join(TIMEOUT_SECONDS)
        wait_until_idle(database)
    finally:
        stop.set()
        stormy.stop()
        server.kill()
    result.seconds = time.monotonic() - started
    result.repeated_post_count = sum(visitor.repeated_count for visitor in visitors)
    result.failed_count = sum(visitor.failed_count for visitor in visitors)
    result.spoiled_count = sum(visitor.spoiled_count for visitor in visitors)
    result.nameless_count = database.query(NAMELESS_FAILURES)[0][0]
    expected = {key: text for visitor in visitors for key, text in visitor.acknowledged.items()}
    compare_with_database(database, expected, result, answers=NEWEST_ANSWERS)
    return result
