"""The supervisor: starts a runner as a child process, restarts it when it crashes, and ends it with itself.

It is a thread in gunicorn's master or in the terminal. The master forks its workers while this thread runs, so nothing
here holds a lock that a worker could inherit: flags and one event that only the master touches, a child that is spawned
and not forked, and `os.write` instead of a logger.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Sequence

from chatsite.child_process import STDERR, ChildProcess, RestartPause

STOP_SECONDS = 1.5
RUNNER = ("-m", "chatsite.runner")


class Supervisor:
    """One runner, restarted whenever it ends. Both write to the file descriptor `output_fd`."""

    def __init__(self, max_pause_seconds: float, output_fd: int = STDERR, runner: Sequence[str] = RUNNER) -> None:
        self._max_pause_seconds = max_pause_seconds
        self._output_fd = output_fd
        self._command = runner
        self._runner: ChildProcess | None = None
        self._is_stopping = False
        self._is_restarting = False
        self._wake_event = threading.Event()
        self._thread = threading.Thread(target=self._keep_running, name="supervisor", daemon=True)

    @property
    def pid(self) -> int:
        """The process id of the runner, or 0 while there is none."""
        runner = self._runner
        return runner.pid if runner else 0

    def start(self) -> None:
        """Start the runner and the thread that restarts it."""
        self._thread.start()

    def restart(self) -> None:
        """Ask the runner to release its work, and start a new one, which continues that work."""
        self._is_restarting = True
        self._terminate()

    def request_stop(self) -> None:
        """Ask the runner to end, and start no other one. Return at once, so that signal handlers may call this."""
        self._is_stopping = True
        self._terminate()

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """End the runner and wait for it; kill it after `seconds`."""
        self.request_stop()
        self._wake_event.set()
        if self._thread.is_alive():
            self._thread.join(seconds)
        if self._thread.is_alive():
            if runner := self._runner:
                runner.kill()
            self._thread.join(seconds)

    def _keep_running(self) -> None:
        pause_seconds = RestartPause(self._max_pause_seconds)
        while not self._is_stopping:
            pause_seconds.mark_start()
            # In its own process group, so that Ctrl-C in the terminal reaches only this process, which ends the runner.
            self._runner = runner = ChildProcess(self._command, output=self._output_fd, in_own_group=True)
            if self._is_stopping:
                runner.terminate()
            runner.wait()
            self._runner = None
            if self._is_restarting or self._is_stopping:
                self._is_restarting = False
                continue
            seconds = pause_seconds.next_pause_seconds()
            self._write_line(f"The runner ended ({runner.exit_text}); the next one starts in {seconds:.1f} s.")
            self._wake_event.wait(seconds)

    def _terminate(self) -> None:
        if runner := self._runner:
            runner.terminate()

    def _write_line(self, text: str) -> None:
        # Where the disk is full there is no line, and the runner is started again all the same.
        with contextlib.suppress(OSError):
            os.write(self._output_fd, f"{text}\n".encode())
