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

COMMAND = [sys.executable, "-m", "chatsite.cli"]
ESCAPES = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|\][^\x07]*\x07|[=>])")
PATIENCE = 30.0

Environment = dict[str, str]


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """What the commands see."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CHATSITE_", "LC_", "LANG"))}
    kept |= {"CHATSITE_INSTANCE": str(tmp_path / "instance"), "CHATSITE_MODEL": "scripted", "TERM": "xterm"}
    return kept | {"PROMPT_TOOLKIT_NO_CPR": "1", "LANG": "C.UTF-8"}


Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(environment: Environment) -> Run:
    """Runs a command to its end; `said` goes to its stdin, `more` to its environment."""

    def command(*words: str, said: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *words],
            input=said,
            env=environment | more,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    return command


@dataclass
class Keyboard:
    """A program at a terminal, and somebody who types."""

    pid: int
    terminal: int
    seen: str = ""
    _place: int = field(default=0)

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self.terminal, text.encode())

    def enter(self, line: str, end: str = "\r") -> None:
        """Type a line once the prompt is there: what is typed before goes through the terminal's own line editor."""
        self.expect("\n>")
        self.type(line + end)

    def leave(self) -> None:
        """Press Ctrl-D at the prompt."""
        self.enter("", end="\x04")

    def expect(self, text: str) -> str:
        """Wait until the screen says something new that has `text` in it; returns what came until then."""
        end = time.monotonic() + PATIENCE
        while (found := self.seen.find(text, self._place)) < 0:
            assert time.monotonic() < end, f"{text!r} did not come: {self.seen[self._place :][-1500:]}"
            self._read()
        came, self._place = self.seen[self._place : found + len(text)], found + len(text)
        return came

    def left(self) -> int:
        """Wait until the program ends; returns its exit status."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                self.pid = 0
                return os.waitstatus_to_exitcode(status)
            self._read()
        raise AssertionError("The program did not end.")

    def close(self) -> None:
        """End whatever is left."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.terminal)

    def _read(self) -> None:
        ready, _, _ = select.select([self.terminal], [], [], 0.1)
        if ready:
            try:
                self.seen += ESCAPES.sub("", os.read(self.terminal, 65536).decode(errors="replace"))
            except OSError:
                # The program has closed the terminal.
                time.sleep(0.05)


@pytest.fixture
def keyboard(environment: Environment) -> Iterator[Callable[..., Keyboard]]:
    """Starts a command at a terminal."""
    started: list[Keyboard] = []

    def start(*words: str, **more: str) -> Keyboard:
        pid, terminal = pty.fork()
        if not pid:
            os.execve(COMMAND[0], [*COMMAND, *words], environment | more)
        started.append(Keyboard(pid, terminal))
        return started[-1]

    yield start
    for one in started:
        one.close()


def runners_of(environment: Environment) -> list[psutil.Process]:
    """The runners that work on this instance."""
    found = []
    for process in psutil.process_iter():
        try:
            if "chatsite.cli runner" in " ".join(process.cmdline()):
                ours = process.environ().get("CHATSITE_INSTANCE") == environment["CHATSITE_INSTANCE"]
                found += [process] if ours else []
        except psutil.Error:
            continue
    return found
