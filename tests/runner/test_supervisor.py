"""The supervisor with real processes: it replaces what dies and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from chatsite.runner.supervisor import Supervisor, _await_end
from tests.site import until

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
LONGEST_PAUSE = 0.4


class Child(Supervisor):
    """A supervisor of any Python program instead of a runner."""

    program = ""

    def _spawn(self) -> int:
        command = [sys.executable, "-c", self.program]
        return os.posix_spawn(sys.executable, command, os.environ, file_actions=self._files(), setpgroup=0)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """What the supervisor and its child say."""
    return tmp_path / "log"


@pytest.fixture
def supervise(log: Path) -> Iterator[Callable[..., Supervisor]]:
    """Makes supervisors that are stopped at the end: of a program, or else of a runner."""
    made: list[Supervisor] = []
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def make(program: str = "") -> Supervisor:
        found = Child(LONGEST_PAUSE, output) if program else Supervisor(LONGEST_PAUSE, output)
        if isinstance(found, Child):
            found.program = program
        made.append(found)
        found.start()
        return found

    yield make
    for supervisor in made:
        supervisor.stop()
    os.close(output)


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment for runners."""
    monkeypatch.setenv("CHATSITE_INSTANCE", str(tmp_path / "instance"))
    monkeypatch.setenv("CHATSITE_MODEL", "scripted")
    return monkeypatch


def test_it_starts_a_runner_that_gives_way_to_the_pages_and_ends_with_it(
    settings: pytest.MonkeyPatch, supervise: Callable[..., Supervisor], log: Path, tmp_path: Path
) -> None:
    subprocess.run([sys.executable, "-m", "chatsite.cli", "migrate"], check=True, timeout=30)
    supervisor = supervise()
    until(lambda: log.exists() and "runner_started" in log.read_text(), what="The start")
    runner = psutil.Process(supervisor.pid)
    assert runner.nice() == 5
    supervisor.stop()
    assert not runner.is_running()
    assert supervisor.pid == 0
    assert "runner_ended" in log.read_text()


def test_what_dies_is_started_again_with_longer_and_longer_pauses(
    supervise: Callable[..., Supervisor], log: Path
) -> None:
    supervise("import sys; sys.exit(3)")
    until(lambda: log.read_text().count("The runner ended") >= 4, what="The fourth death")
    said = log.read_text().splitlines()[:4]
    assert [line.rpartition("starts in ")[2] for line in said] == ["0.2 s.", "0.4 s.", "0.4 s.", "0.4 s."]
    assert "(status 3)" in said[0]


def test_a_restart_needs_no_pause_and_is_no_death(supervise: Callable[..., Supervisor], log: Path) -> None:
    supervisor = supervise("import time; print('up', flush=True); time.sleep(60)")
    until(lambda: "up" in log.read_text(), what="The start")
    first = supervisor.pid
    supervisor.restart()
    until(lambda: log.read_text().count("up") == 2, what="The restart")
    assert supervisor.pid not in {0, first}
    assert "The runner ended" not in log.read_text()


def test_what_does_not_listen_is_killed(supervise: Callable[..., Supervisor], log: Path) -> None:
    supervisor = supervise(STUBBORN)
    until(lambda: "up" in log.read_text(), what="The start")
    child = psutil.Process(supervisor.pid)
    supervisor.stop(0.2)
    assert not child.is_running()


def test_the_child_inherits_no_socket(supervise: Callable[..., Supervisor], log: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.set_inheritable(True)
        supervise("import os; print('up', sorted(int(fd) for fd in os.listdir('/dev/fd'))[3:], flush=True); input()")
        until(lambda: "up" in log.read_text(), what="The start")
        # The one number is the descriptor with which the child looked.
        assert "up [3]" in log.read_text()


def test_a_child_that_the_master_reaped_counts_as_ended() -> None:
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", ""], os.environ)
    os.waitpid(pid, 0)
    assert _await_end(pid) == "status unknown"


def test_how_a_child_ended_is_told() -> None:
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", "input()"], os.environ)
    os.kill(pid, signal.SIGKILL)
    assert _await_end(pid) == "signal 9"


def test_a_runner_without_its_parent_ends(settings: pytest.MonkeyPatch) -> None:
    subprocess.run([sys.executable, "-m", "chatsite.cli", "migrate"], check=True, timeout=30)
    done = subprocess.run([sys.executable, "-m", "chatsite.cli", "runner", "--parent", "1"], timeout=30, check=False)
    assert done.returncode == 0
