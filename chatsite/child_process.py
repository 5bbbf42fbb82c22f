"""Child processes: run a Python module of ours in a process of its own, read from it, end it and restart it.

The runner is one, and so is whatever imports a file, fetches a model or converts weights. The last is started by the
engine, which knows no runner; so this is beside both.

Whoever starts the runner lives in gunicorn's master, which forks its workers at any time. So nothing here holds a lock
that a worker could inherit: a child is made with `posix_spawn` and not with a fork, and one thread waits for it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# Names the parent to a child; it is gone from the environment once it was read.
PARENT_VARIABLE = "CHATSITE_PARENT_PID"
WATCH_SECONDS = 0.2
SHORTEST_PAUSE = 0.2
LONG_LIFE = 30.0
STDOUT, STDERR = 1, 2
LAST_WORDS = 300
UNKNOWN = 1 << 16


def child_environment(config: Mapping[str, Any], *names: str) -> dict[str, str]:
    """Return the environment variables that give a child process some settings of an app's configuration."""
    return {f"CHATSITE_{name}": str(config[name]) for name in names}


def exit_with_parent(end: Callable[[], object], over: threading.Event | None = None) -> None:
    """Call `end` once the parent process is gone, even if it was killed.

    Does nothing in a process that is nobody's child; stops looking when `over` is set.
    """
    parent = int(os.environ.pop(PARENT_VARIABLE, "0"))
    pause = over or threading.Event()

    def watch() -> None:
        while not pause.wait(WATCH_SECONDS):
            if os.getppid() != parent:
                end()
                return

    if parent:
        threading.Thread(target=watch, name="parent", daemon=True).start()


def send_json(values: Mapping[str, Any]) -> None:
    """Send a message to the parent: a line of JSON on stdout."""
    print(json.dumps(values), file=sys.stdout, flush=True)


class ChildProcess:
    """A process that runs Python with some arguments, and ends when this one does (`exit_with_parent`).

    `settings` are added to its environment. It has no input, and writes where this process does, unless `output`
    is another file descriptor, or `speaks` is set: then its stdout is read as JSON lines, with `quiet` its stderr too.
    With `in_own_group` it does not get the Ctrl-C of a terminal. One thread at a time may wait for it.
    """

    def __init__(  # noqa: PLR0913 What Popen takes is more.
        self,
        arguments: Sequence[str],
        settings: Mapping[str, str] | None = None,
        *,
        output: int | None = None,
        speaks: bool = False,
        quiet: bool = False,
        in_own_group: bool = False,
    ) -> None:
        self.last_words = ""
        self._status: int | None = None
        self._stdout: int | None = None
        theirs = None
        if speaks:
            self._stdout, theirs = os.pipe()
        try:
            self.pid = os.posix_spawn(
                sys.executable,
                [sys.executable, *arguments],
                _environment(settings or {}),
                file_actions=_file_actions(theirs, theirs if quiet else output),
                setpgroup=0 if in_own_group else os.getpgrp(),
            )
        finally:
            if theirs is not None:
                os.close(theirs)

    @property
    def is_running(self) -> bool:
        """Whether the process still runs, as far as can be told without waiting."""
        return self._status is None and not self._reap(os.WNOHANG)

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process is known to be gone."""
        if self._status is None:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                # It died by itself, and whoever waits for it is about to notice.
                return

    def terminate(self) -> None:
        """Ask the child to end, and return at once."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the child, and return at once."""
        self.send_signal(signal.SIGKILL)

    def wait(self) -> int:
        """Wait for the end of the child. Return its exit status, negative for the signal that ended it.

        A process that reaps every child it comes across takes the status away: it counts as 0, and `exit_text` says so.
        """
        if self._status is None:
            self._reap(0)
        return self.status or 0

    @property
    def status(self) -> int | None:
        """The exit status, or minus the signal. None while the process runs, and if the status is not known."""
        return None if self._status == UNKNOWN else self._status

    @property
    def exit_text(self) -> str:
        """The end of the process in words."""
        if self.status is None:
            return "status unknown"
        return f"signal {-self.status}" if self.status < 0 else f"status {self.status}"

    def messages(self) -> Iterator[dict[str, Any]]:
        """Iterate over the JSON lines of the child until it ends; `last_words` is the last other line."""
        if self._stdout is None:
            return
        stdout, self._stdout = self._stdout, None
        with os.fdopen(stdout, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                try:
                    message = json.loads(line)
                except ValueError:
                    message = None
                if isinstance(message, dict):
                    yield message
                else:
                    self.last_words = line.strip()[-LAST_WORDS:] or self.last_words

    def _reap(self, options: int) -> bool:
        """Check, or wait, for the end of the child. Return whether it has ended."""
        try:
            pid, status = os.waitpid(self.pid, options)
        except ChildProcessError:
            # Somebody else reaped it: that it is gone is certain.
            self._status = UNKNOWN
            return True
        if pid:
            self._status = os.waitstatus_to_exitcode(status)
        return bool(pid)


class RestartPause:
    """The pause before a child is restarted: longer each time, unless the child had lived for long."""

    def __init__(self, max_seconds: float) -> None:
        self._longest = max_seconds
        self._next = SHORTEST_PAUSE
        self._born = time.monotonic()

    def mark_start(self) -> None:
        """Note that the child was started now."""
        self._born = time.monotonic()

    def next_pause_seconds(self) -> float:
        """Return the seconds to wait now."""
        pause = SHORTEST_PAUSE if time.monotonic() - self._born > LONG_LIFE else self._next
        self._next = min(2 * pause, self._longest)
        return pause


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which the child finds our modules, whatever the working directory, and its parent."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, **settings, "PYTHONPATH": path, PARENT_VARIABLE: str(os.getpid())}


def _file_actions(stdout: int | None, stderr: int | None) -> list[Any]:
    """List what a child does with our files: write to `stdout` and `stderr` or as we do; inherit nothing else.

    A runner that inherited the listening socket would keep the port busy after the master was killed.
    """
    others = sorted({int(name) for name in os.listdir("/dev/fd")} - {0, STDOUT, STDERR})
    actions: list[Any] = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
    if stderr is not None:
        actions.append((os.POSIX_SPAWN_DUP2, stderr, STDERR))
    if stdout is not None or stderr is not None:
        actions.append((os.POSIX_SPAWN_DUP2, STDERR if stdout is None else stdout, STDOUT))
    return [*actions, *((os.POSIX_SPAWN_CLOSE, number) for number in others)]
