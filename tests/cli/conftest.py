"""The commands as people run them: real processes, on an instance of their own, with the scripted model."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

CHATSITE_COMMAND = [sys.executable, "-m", "chatsite.cli"]
ESCAPE_SEQUENCES = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|\][^\x07]*\x07|[=>])")
TIMEOUT_SECONDS = 60.0

Environment = dict[str, str]


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """What the commands see."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("CHATSITE_", "LC_", "LANG"))}
    variables |= {
        "CHATSITE_INSTANCE": str(tmp_path / "instance"),
        "CHATSITE_DEFAULT_MODEL": "scripted",
        "TERM": "xterm",
    }
    return variables | {"PROMPT_TOOLKIT_NO_CPR": "1", "LANG": "C.UTF-8"}


RunCommand = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run_command(environment: Environment) -> RunCommand:
    """Runs a command to its end; `said` goes to its stdin, `more` to its environment."""

    def run_to_end(*words: str, said: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*CHATSITE_COMMAND, *words],
            input=said,
            env=environment | more,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )

    return run_to_end


@dataclass
class TerminalSession:
    """A program at a terminal, and somebody who types."""

    pid: int
    terminal: int
    output: str = ""
    _read_position: int = field(default=0)

    def type_text(self, text: str) -> None:
        """Press keys."""
        os.write(self.terminal, text.encode())

    def enter_line(self, line: str, end: str = "\r") -> None:
        """Type a line once the prompt is there: what is typed before goes through the terminal's own line editor."""
        self.wait_for_text("\n>")
        self.type_text(line + end)

    def press_ctrl_d(self) -> None:
        """Press Ctrl-D at the prompt."""
        self.enter_line("", end="\x04")

    def wait_for_text(self, *texts: str) -> str:
        """Wait until the screen says something new that has one of `texts` in it; returns what came until then."""
        end = time.monotonic() + TIMEOUT_SECONDS
        while not any(text in self.output[self._read_position :] for text in texts):
            assert time.monotonic() < end, f"{texts} did not come: {self.output[self._read_position :][-1500:]}"
            self._read_output()
        found = {text: self.output.find(text, self._read_position) for text in texts}
        position, text = min((position, text) for text, position in found.items() if position >= 0)
        new_output, self._read_position = self.output[self._read_position : position + len(text)], position + len(text)
        return new_output

    def wait_for_exit(self) -> int:
        """Wait until the program ends; returns its exit status."""
        end = time.monotonic() + TIMEOUT_SECONDS
        while time.monotonic() < end:
            finished_pid, status = os.waitpid(self.pid, os.WNOHANG)
            if finished_pid:
                self.pid = 0
                return os.waitstatus_to_exitcode(status)
            self._read_output()
        raise AssertionError("The program did not end.")

    def close(self) -> None:
        """End whatever is left."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.terminal)

    def _read_output(self) -> None:
        ready, _, _ = select.select([self.terminal], [], [], 0.1)
        if ready:
            try:
                self.output += ESCAPE_SEQUENCES.sub("", os.read(self.terminal, 65536).decode(errors="replace"))
            except OSError:
                # The program has closed the terminal.
                time.sleep(0.05)


@pytest.fixture
def start_session(environment: Environment) -> Iterator[Callable[..., TerminalSession]]:
    """Starts a command at a terminal."""
    started: list[TerminalSession] = []

    def start_command(*words: str, **more: str) -> TerminalSession:
        pid, terminal = pty.fork()
        if not pid:
            os.execve(CHATSITE_COMMAND[0], [*CHATSITE_COMMAND, *words], environment | more)
        started.append(TerminalSession(pid, terminal))
        return started[-1]

    yield start_command
    for session in started:
        session.close()


def list_runners(environment: Environment) -> list[psutil.Process]:
    """The runners that work on this instance."""
    runners = []
    for process in psutil.process_iter():
        try:
            if process.cmdline()[1:] in (["-m", "chatsite.runner"], ["-m", "chatsite.cli", "runner"]):
                is_ours = process.environ().get("CHATSITE_INSTANCE") == environment["CHATSITE_INSTANCE"]
                runners += [process] if is_ours else []
        except psutil.Error:
            continue
    return runners
