"""Real processes whose clocks are hours apart: answers end whole, once, and nobody is taken for dead."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.chaos.chaos_database import ChaosDatabase
from tests.conftest import fresh_postgres_url
from tests.support.served_site import REPOSITORY_ROOT, HttpVisitor, ServedSite, running_site, wait_until
from tests.support.wrong_clock import make_clock, set_clock

# Longer than a busy machine starves a runner; a clock that is an hour off shows at once.
SETTINGS = {"LEASE_SECONDS": "30", "MAX_ANSWER_TOKENS": "4000", "MAX_QUEUED_PER_USER": "20", "WORKERS": "1"}
STATE = "SELECT id, status, lease_owner, attempts, crash_count FROM generation ORDER BY id"


def words(count: int) -> str:
    """What `/long` is answered with."""
    return " ".join(f"word{number}" for number in range(1, count + 1))


@contextmanager
def running_runner(folder: Path, url: str, clock: str, words_per_second: int) -> Iterator[psutil.Process]:
    """Run a runner as on another machine: it shares the database with the site, and not its clock."""
    settings = {**SETTINGS, "INSTANCE": str(folder), "DATABASE_URL": url, "DEFAULT_MODEL": "scripted"}
    settings |= {"SCRIPTED_TOKENS_PER_SECOND": str(2 * words_per_second), "LOG_LEVEL": "warning"}
    environ = {name: value for name, value in os.environ.items() if not name.startswith("CHATSITE_")}
    environ |= {f"CHATSITE_{name}": value for name, value in settings.items()}
    environ |= make_clock(folder / f"clock{clock}", clock)
    with (folder / f"runner{clock}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "chatsite.runner"], cwd=REPOSITORY_ROOT, env=environ, stdout=log, stderr=log
        )
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(60)
        finally:
            process.kill()


def count_runners(database: ChaosDatabase) -> int:
    return int(database.query("SELECT count(*) FROM runner WHERE state = 'ready'")[0][0])


def ask_one_of(
    runners: list[psutil.Process], chosen: int, site: ServedSite, database: ChaosDatabase, text: str
) -> None:
    """Ask something that the chosen runner takes up, because the others stand still."""
    others = [runner for number, runner in enumerate(runners) if number != chosen]
    for runner in others:
        runner.suspend()
    try:
        HttpVisitor(site.url).post_question(text, "key")
        wait_until(lambda: all(row.status != "queued" for row in database.query(STATE)), what="The claim")
    finally:
        for runner in others:
            runner.resume()


@pytest.mark.parametrize(
    ("clocks", "rounds", "word_count"),
    [
        pytest.param(("+1h", "-1h"), 1, 200, id="an hour"),
        pytest.param(("+1h", "-1h", "+0"), 8, 900, id="long", marks=pytest.mark.exhaustive),
        pytest.param(("+40d", "-40d"), 4, 600, id="weeks", marks=pytest.mark.exhaustive),
    ],
)
def test_runners_with_wrong_clocks_write_each_answer_once(
    tmp_path: Path, clocks: tuple[str, ...], rounds: int, word_count: int
) -> None:
    """Each runner writes, while the others with their other clocks look for what dead ones left."""
    url = fresh_postgres_url("wrong_clocks")
    database = ChaosDatabase(tmp_path, url)
    settings: dict[str, Any] = {**SETTINGS, "DATABASE_URL": url, "RUNNER": "external"}
    with running_site(tmp_path, wait_until_ready=False, **settings) as site, ExitStack() as stack:
        wait_until(site.is_alive, what="The start of the site")
        runners = [stack.enter_context(running_runner(tmp_path, url, clock, 100)) for clock in clocks]
        wait_until(lambda: count_runners(database) == len(clocks), what="The start of the runners")
        for _ in range(rounds):
            for chosen in range(len(clocks)):
                ask_one_of(runners, chosen, site, database, f"/long {word_count}")
            owners: defaultdict[int, set[str]] = defaultdict(set)
            while in_progress := [row for row in database.query(STATE) if row.status == "generating"]:
                for row in in_progress:
                    owners[row.id].add(row.lease_owner)
                assert site.is_ready(), "The web takes all runners for dead."
            assert all(len(names) == 1 for names in owners.values())
            assert len(set[str]().union(*owners.values())) == len(clocks), "A runner wrote nothing."
        assert {(row.status, row.attempts, row.crash_count) for row in database.query(STATE)} == {("done", 1, 0)}
        answers = [row.text for row in database.query("SELECT text FROM message WHERE role = 'assistant'")]
        assert answers == [words(word_count)] * rounds * len(clocks)
        assert all(runner.is_running() for runner in runners)


@pytest.mark.exhaustive
def test_clock_that_is_set_while_answers_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On one machine all have the same clock, which is set an hour ahead, back, and far back."""
    clock = tmp_path / "clock"
    for name, value in make_clock(clock).items():
        monkeypatch.setenv(name, value)
    settings: dict[str, Any] = {**SETTINGS, "SCRIPTED_TOKENS_PER_SECOND": "150"}
    with running_site(tmp_path / "i", **settings) as site:
        database = ChaosDatabase(tmp_path / "i")
        runners = [runner.pid for runner in site.list_runners()]
        for offset in ("+1h", "+0", "-1h", "+0", "-40d"):
            visitor = HttpVisitor(site.url)
            answer = visitor.list_message_ids(visitor.post_question("/long 300", "key"))[-1]
            page = f"/messages/{answer}"
            wait_until(lambda visitor=visitor, page=page: "word5" in visitor.get(page), what="The beginning")
            set_clock(clock, offset)
            wait_until(lambda visitor=visitor, answer=answer: visitor.get_message_text(answer), what="The answer")
            assert visitor.get_message_text(answer) == words(300)
            wait_until(site.is_ready, what="The next heartbeat")
        assert {(row.status, row.attempts, row.crash_count) for row in database.query(STATE)} == {("done", 1, 0)}
        assert [runner.pid for runner in site.list_runners()] == runners
