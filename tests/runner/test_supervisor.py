"""The supervisor with real processes: it replaces what dies and leaves nothing behind."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from chatsite.runner.supervisor import Supervisor
from tests.support.served_site import wait_until

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
LONGEST_PAUSE = 0.4


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    """What the supervisor and its child say."""
    return tmp_path / "log"


@pytest.fixture
def start_supervisor(log_file: Path) -> Iterator[Callable[..., Supervisor]]:
    """Makes supervisors that are stopped at the end: of a program, or else of a runner."""
    made: list[Supervisor] = []
    output = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def make(program: str = "") -> Supervisor:
        found = Supervisor(LONGEST_PAUSE, output, *([("-c", program)] if program else []))
        made.append(found)
        found.start()
        return found

    yield make
    for supervisor in made:
        supervisor.stop()
    os.close(output)


@pytest.fixture
def runner_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment for runners."""
    monkeypatch.setenv("CHATSITE_INSTANCE", str(tmp_path / "instance"))
    monkeypatch.setenv("CHATSITE_DEFAULT_MODEL", "scripted")
    return monkeypatch


def test_supervisor_starts_low_priority_runner_and_stops_it(
    runner_environment: pytest.MonkeyPatch, start_supervisor: Callable[..., Supervisor], log_file: Path, tmp_path: Path
) -> None:
    subprocess.run([sys.executable, "-m", "chatsite.cli", "migrate"], check=True, timeout=60)
    supervisor = start_supervisor()
    wait_until(lambda: log_file.exists() and "runner_started" in log_file.read_text(), what="The start")
    runner = psutil.Process(supervisor.pid)
    assert runner.nice() == min(psutil.Process().nice() + 5, 19)
    supervisor.stop()
    assert not runner.is_running()
    assert supervisor.pid == 0
    assert "runner_ended" in log_file.read_text()


def test_crashed_child_restarts_with_backoff(start_supervisor: Callable[..., Supervisor], log_file: Path) -> None:
    start_supervisor("import sys; sys.exit(3)")
    wait_until(lambda: log_file.read_text().count("The runner ended") >= 4, what="The fourth death")
    said = log_file.read_text().splitlines()[:4]
    assert [line.rpartition("starts in ")[2] for line in said] == ["0.2 s.", "0.4 s.", "0.4 s.", "0.4 s."]
    assert "(status 3)" in said[0]


def test_child_restarts_although_nothing_can_be_logged(tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full_disk:
        supervisor = Supervisor(
            LONGEST_PAUSE, full_disk.fileno(), ("-c", f"open({str(tmp_path / 'lives')!r}, 'a').write('x')")
        )
        supervisor.start()
        lives = tmp_path / "lives"
        wait_until(lambda: lives.exists() and len(lives.read_text()) >= 3, what="The third life")
        supervisor.stop()


def test_restart_has_no_delay_and_is_no_crash(start_supervisor: Callable[..., Supervisor], log_file: Path) -> None:
    supervisor = start_supervisor("import time; print('up', flush=True); time.sleep(60)")
    wait_until(lambda: "up" in log_file.read_text(), what="The start")
    first = supervisor.pid
    supervisor.restart()
    wait_until(lambda: log_file.read_text().count("up") == 2, what="The restart")
    assert supervisor.pid not in {0, first}
    assert "The runner ended" not in log_file.read_text()


def test_child_ignoring_sigterm_is_killed(start_supervisor: Callable[..., Supervisor], log_file: Path) -> None:
    supervisor = start_supervisor(STUBBORN)
    wait_until(lambda: "up" in log_file.read_text(), what="The start")
    child = psutil.Process(supervisor.pid)
    supervisor.stop(0.2)
    assert not child.is_running()


def test_child_inherits_no_socket(start_supervisor: Callable[..., Supervisor], log_file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.set_inheritable(True)
        start_supervisor(
            "import os; print('up', sorted(int(fd) for fd in os.listdir('/dev/fd'))[3:], flush=True); input()"
        )
        wait_until(lambda: "up" in log_file.read_text(), what="The start")
        # The one number is the descriptor with which the child looked.
        assert "up [3]" in log_file.read_text()


def test_orphaned_runner_exits(runner_environment: pytest.MonkeyPatch) -> None:
    subprocess.run([sys.executable, "-m", "chatsite.cli", "migrate"], check=True, timeout=60)
    runner_environment.setenv("CHATSITE_PARENT_PID", "1")
    done = subprocess.run([sys.executable, "-m", "chatsite.runner"], timeout=60, check=False)
    assert done.returncode == 0


def test_a_setting_that_cannot_be_used_is_said(runner_environment: pytest.MonkeyPatch) -> None:
    runner_environment.setenv("CHATSITE_DEFAULT_MODEL", "gpt-9")
    done = subprocess.run(
        [sys.executable, "-m", "chatsite.runner"], timeout=30, check=False, capture_output=True, text=True
    )
    assert (done.returncode, "gpt-9" in done.stderr, "Traceback" in done.stderr) == (2, True, False)
