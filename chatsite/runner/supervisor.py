"""Keeps a runner alive: starts it as a child process, starts it again when it dies, ends it with itself.

It lives in a thread of gunicorn's master or of the terminal. The master forks its workers while this thread
runs, so nothing here holds a lock that a worker could inherit: flags and one event that only the master
touches, `posix_spawn` instead of a fork with pipes, and `os.write` instead of a logger.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

SHORTEST_PAUSE = 0.2
LONG_LIFE = 30.0
STOP_SECONDS = 1.5
STDERR = 2


class Supervisor:
    """One runner, started again whenever it dies. Both write to the file descriptor `output`."""

    def __init__(self, longest_pause: float, output: int = STDERR) -> None:
        self._longest_pause = longest_pause
        self._output = output
        self._pid = 0
        self._over = False
        self._expected = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._live, name="supervisor", daemon=True)

    @property
    def pid(self) -> int:
        """The process id of the runner, or 0 while there is none."""
        return self._pid

    def start(self) -> None:
        """Start the runner and watch over it."""
        self._thread.start()

    def restart(self) -> None:
        """Have the runner hand back its work and start a new one, which goes on where it stopped."""
        self._expected = True
        self._signal(signal.SIGTERM)

    def end(self) -> None:
        """Ask the runner to end, and start none after it. Returns at once, even in a signal handler."""
        self._over = True
        self._signal(signal.SIGTERM)

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """End the runner and wait for it; one that is not gone after `seconds` is killed."""
        self.end()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(seconds)
        if self._thread.is_alive():
            self._signal(signal.SIGKILL)
            self._thread.join(seconds)

    def _live(self) -> None:
        pause = SHORTEST_PAUSE
        while not self._over:
            born = time.monotonic()
            self._pid = self._spawn()
            if self._over:
                self._signal(signal.SIGTERM)
            how = _await_end(self._pid)
            self._pid = 0
            if self._expected or self._over:
                self._expected = False
                continue
            pause = SHORTEST_PAUSE if time.monotonic() - born > LONG_LIFE else pause
            self._say(f"The runner ended ({how}); the next one starts in {pause:.1f} s.")
            self._wake.wait(pause)
            pause = min(2 * pause, self._longest_pause)

    def _spawn(self) -> int:
        """Start a runner that ends with this process; returns its process id."""
        command = [sys.executable, "-m", "chatsite.cli", "runner", "--parent", str(os.getpid())]
        # A process group of its own: Ctrl-C in the terminal is for us to hear, and we tell the runner.
        return os.posix_spawn(sys.executable, command, os.environ, file_actions=self._files(), setpgroup=0)

    def _files(self) -> list[tuple[int, ...] | tuple[int, int, str, int, int]]:
        """What the runner does with our files: it speaks to `output`, and inherits nothing else.

        A runner that inherited the listening socket would keep the port busy after the master was killed.
        """
        others = sorted({int(name) for name in os.listdir("/dev/fd")} - {0, 1, STDERR})
        return [
            (os.POSIX_SPAWN_DUP2, self._output, STDERR),
            (os.POSIX_SPAWN_DUP2, STDERR, 1),
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            *((os.POSIX_SPAWN_CLOSE, number) for number in others),
        ]

    def _signal(self, number: int) -> None:
        if self._pid:
            try:
                os.kill(self._pid, number)
            except ProcessLookupError:
                # It died by itself, and the thread is about to notice.
                return

    def _say(self, text: str) -> None:
        os.write(self._output, f"{text}\n".encode())


def _await_end(pid: int) -> str:
    """Wait until a child is gone and tell how it ended.

    The master reaps whatever child it comes across, so the status may be lost; that it is gone is certain.
    """
    try:
        _, status = os.waitpid(pid, 0)
    except ChildProcessError:
        return "status unknown"
    code = os.waitstatus_to_exitcode(status)
    return f"signal {-code}" if code < 0 else f"status {code}"
