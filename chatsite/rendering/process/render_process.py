"""The process that renders for a web worker, which may die: texts that strangers wrote must not hold the worker.

A regular expression, or a converter that is not written in Python, keeps all other threads of its process from running
for as long as it takes. In here that is the process of `render_worker.py`, and the kernel kills it after a fraction of
a second (decision 0021).
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import IO, Any, cast

# The process, and the pipes to it and from it.
_Running = tuple[subprocess.Popen[bytes], IO[bytes], IO[bytes]]


_DECODER = json.JSONDecoder()


class RenderProcessError(Exception):
    """The process ended before it had answered, or could not be started. `is_killed` says that the work ended it."""

    def __init__(self, reason: str, *, is_killed: bool) -> None:
        super().__init__(reason)
        self.is_killed = is_killed


class RenderProcess:
    """A process that is started when it is needed, and again after it died. One thread at a time may use it."""

    def __init__(self) -> None:
        self._running: _Running | None = None

    def iter_responses(self, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Send a request, and yield the responses to it up to the last one. Raises RenderProcessError.

        When the caller leaves before the last response, the process is ended: nobody else may read what is still to
        come.
        """
        is_over = False
        try:
            process, requests, responses = self._start_if_needed()
            requests.write(json.dumps(request).encode() + b"\n")
            requests.flush()
            while not is_over:
                line = responses.readline()
                if not line.endswith(b"\n"):
                    raise RenderProcessError(f"status {process.wait()}", is_killed=True)
                # `json.loads` would guess the encoding of each of the thousands of lines that a page may take.
                response, _ = _DECODER.raw_decode(line.decode())
                is_over = "is_complete" in response
                yield response
        except OSError as error:
            raise RenderProcessError(type(error).__name__, is_killed=False) from error
        finally:
            if not is_over:
                self.close()

    def close(self) -> None:
        """End the process, if there is one."""
        if self._running:
            process, requests, responses = self._running
            self._running = None
            process.kill()
            process.wait()
            responses.close()
            with contextlib.suppress(OSError):
                # What is left in the buffer can no longer be written.
                requests.close()

    def _start_if_needed(self) -> _Running:
        """Start the process unless it runs. It ends when its input does, so also after this process was killed."""
        if self._running is None or self._running[0].poll() is not None:
            self.close()
            process = subprocess.Popen(
                [sys.executable, "-m", "chatsite.rendering.process.render_worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
            self._running = process, cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)
        return self._running
