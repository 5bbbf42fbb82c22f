"""What happens to a site in a storm: processes are killed, frozen and restarted, and so is the database server."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from tests.chaos.chaos_database import ChaosDatabase
from tests.chaos.chaos_visitors import ChaosImporter, ChaosVisitor
from tests.chaos.postgres_server import PostgresServer
from tests.support.served_site import REPOSITORY_ROOT, ServedSite, running_site, wait_until

# In every run, and those that a long run has besides.
USUAL_STRIKES = ("runner", "worker", "worker", "freeze")
MAX_WAIT_SECONDS = 30.0
# Between a backup and the end of the site that is then taken back to it.
LATER_SECONDS = (0.2, 1.5)
RARE_STRIKES = ("import", "reload", "sleep", "database")


@dataclass
class StormySite:
    """A site that is struck. `port` stays the same when it is started again."""

    folder: Path
    port: int
    settings: dict[str, Any]
    database: ChaosDatabase
    rng: random.Random
    postgres: PostgresServer | None = None
    people: Sequence[ChaosVisitor | ChaosImporter] = ()
    runner_strikes: int = 0
    rolled_back: int = 0

    def start(self) -> None:
        """Start the site, and wait until it would answer."""
        self._running = running_site(self.folder, port=str(self.port), **self.settings)
        self.site: ServedSite = self._running.__enter__()

    def stop(self) -> None:
        """Stop the site in order."""
        self._running.__exit__(None, None, None)

    def strike(self, kind: str) -> bool:
        """Let something happen; returns whether it did. Only processes that have come to work are struck."""
        return bool(getattr(self, f"_strike_{kind}")())

    def _strike_runner(self) -> bool:
        """Kill the runner, every other time while it writes: one that has just come may not have begun."""
        self.runner_strikes += 1
        find = self._writing_runners if self.runner_strikes % 2 else self._working_runners
        return self._signal(find, signal.SIGKILL)

    def _strike_worker(self) -> bool:
        return self._signal(self.site.list_workers, signal.SIGKILL)

    def _strike_import(self) -> bool:
        return self._signal(self._import_workers, signal.SIGKILL)

    def _strike_freeze(self) -> bool:
        """Stop the runner for longer than its lease, while questions are posted."""
        return self._freeze(lambda: self._working_runners()[:1])

    def _strike_sleep(self) -> bool:
        """Stop everything, as a laptop does that is closed."""
        return self._freeze(lambda: [psutil.Process(self.site.process.pid), *self.site.list_children()])

    def _strike_reload(self) -> bool:
        """Restart in order, perhaps in the middle of an import."""
        runners = {process.pid for process in self._wait_for(self._working_runners)}
        self.site.process.send_signal(signal.SIGHUP)
        wait_until(lambda: runners.isdisjoint(process.pid for process in self.site.list_runners()), what="The restart")
        return bool(runners)

    def _strike_database(self) -> bool:
        """Kill the server of PostgreSQL; with SQLite restore a backup that was made a moment ago, under load.

        What was acknowledged before the backup was begun must be there afterwards. What came later may be missing.
        """
        if self.postgres:
            self.postgres.restart()
            return True
        before = [set(person.acknowledged) for person in self.people]
        backup = self.folder.with_name("backup.db")
        backup.unlink(missing_ok=True)
        self._run_until_done("backup", str(backup))
        time.sleep(self.rng.uniform(*LATER_SECONDS))
        self.stop()
        self._run_until_done("restore", str(backup))
        stored = self.database.list_acknowledged()
        for person, names in zip(self.people, before, strict=True):
            missing = set(person.acknowledged) - names - stored
            self.rolled_back += len(missing)
            person.forget(missing)
        self.start()
        return True

    def _run_until_done(self, *command: str) -> None:
        """Run a command until it succeeds: the last child of a stopped runner has the database open for a moment."""
        environ = {"CHATSITE_INSTANCE": str(self.folder), "CHATSITE_DEFAULT_MODEL": "scripted"}
        wait_until(lambda: _run_command(list(command), environ), what=command[0])

    def _freeze(self, find: Callable[[], list[psutil.Process]]) -> bool:
        frozen = self._wait_for(find)
        _send(frozen, signal.SIGSTOP)
        time.sleep(self.rng.uniform(1.1, 2.5) * float(self.settings["LEASE_SECONDS"]))
        _send(frozen, signal.SIGCONT)
        return bool(frozen)

    def _signal(self, find: Callable[[], list[psutil.Process]], number: int) -> bool:
        """Send a signal to one of some processes, once there are any."""
        processes = self._wait_for(find)
        return bool(processes) and _send([self.rng.choice(processes)], number)

    def _wait_for(self, find: Callable[[], list[psutil.Process]]) -> list[psutil.Process]:
        """Return the processes once there are any, or none after a long while."""
        end = time.monotonic() + MAX_WAIT_SECONDS
        while time.monotonic() < end:
            if processes := find():
                return processes
            time.sleep(0.02)
        return []

    def _working_runners(self) -> list[psutil.Process]:
        """The runners, when one of those that live now has said that it is ready."""
        runners = self.site.list_runners()
        if not runners:
            return []
        started_at = datetime.fromtimestamp(max(process.create_time() for process in runners), UTC).replace(tzinfo=None)
        return runners if self.database.has_ready_runner(started_at) else []

    def _writing_runners(self) -> list[psutil.Process]:
        """The runners, when one of them writes an answer."""
        return self._working_runners() if self.database.has_running_answer() else []

    def _import_workers(self) -> list[psutil.Process]:
        return [child for child in self.site.list_children() if "import_worker" in " ".join(_command_line(child))]


def iter_strikes(rng: random.Random, is_long: bool) -> Iterator[str]:
    """Yield kinds of strikes: all of them once, in any order, again and again."""
    while True:
        yield from rng.sample(USUAL_STRIKES, len(USUAL_STRIKES))
        if is_long:
            yield rng.choice(RARE_STRIKES)


def _send(processes: list[psutil.Process], number: int) -> bool:
    """Send a signal to some processes; returns whether any was still there."""
    is_sent = False
    for process in processes:
        try:
            process.send_signal(number)
            is_sent = True
        except psutil.NoSuchProcess:
            continue
    return is_sent


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []


def _run_command(command: list[str], settings: dict[str, str]) -> bool:
    """Run a command of the site; returns whether it succeeded."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("CHATSITE_")}
    run = [sys.executable, "-m", "chatsite.cli", *command]
    done = subprocess.run(run, cwd=REPOSITORY_ROOT, env={**environ, **settings}, capture_output=True, check=False)
    return done.returncode == 0
