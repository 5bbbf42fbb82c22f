"""The download of a model in a child process, which frees its memory when it ends and can be killed at any time."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from chatsite.child_process import ChildProcess, child_environment
from chatsite.engine.types import Progress, ProgressCallback
from chatsite.errors import ChatsiteError, ModelLoadError, as_error, download_reasons, from_reason
from chatsite.runner import download_worker

REPORT_SECONDS = 0.2
SPEED_WINDOW_SECONDS = 10.0


def build_environment(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment variables that pass the configuration of the app to a child process."""
    return child_environment(config, "INSTANCE", "CUSTOM_MODELS_FILE")


def download_and_wait(name: str, on_progress: ProgressCallback, environment: Mapping[str, str]) -> None:
    """Download the model `name` in a child process, and wait for its end. Raises ModelLoadError."""
    download = DownloadProcess(name, environment)
    while not download.finished.wait(REPORT_SECONDS):
        on_progress(download.progress)
    if download.error is not None:
        raise ModelLoadError(reason=download.error)


class DownloadProcess:
    """The download of the model `name`, which starts at once.

    `environment` is passed to the child process. When `finished` is set, either `error` or `revision` is too.
    """

    def __init__(self, name: str, environment: Mapping[str, str]) -> None:
        self.name = name
        self.progress = Progress("fetching")
        self.error: ChatsiteError | None = None
        self.revision: str | None = None
        self.finished = threading.Event()
        self._progress_samples: deque[tuple[float, int]] = deque()
        self._process = ChildProcess(["-m", download_worker.__name__, name], environment, speaks=True)
        threading.Thread(target=self._read_output, name="pull", daemon=True).start()

    @property
    def bytes_per_second(self) -> float | None:
        """The speed over the last SPEED_WINDOW_SECONDS, or None while it is unknown."""
        samples = list(self._progress_samples)
        if len(samples) < 2 or samples[-1][0] <= samples[0][0]:
            return None
        return max(0.0, (samples[-1][1] - samples[0][1]) / (samples[-1][0] - samples[0][0]))

    def terminate(self) -> None:
        """Kill the child process and wait for its end; the received part of each file stays for the next try."""
        self._process.kill()
        self.finished.wait()

    def _read_output(self) -> None:
        for message in self._process.messages():
            self._on_line(message)
        status = self._process.wait()
        if self.revision is None and self.error is None:
            words = self._process.last_words
            self.error = as_error(words) if words else download_reasons.DownloadEndedError(status=status)
        self.finished.set()

    def _on_line(self, message: dict[str, Any]) -> None:
        if "stage" in message:
            self._on_progress(Progress(**message))
        else:
            self.revision = message.get("revision")
            self.error = from_reason(message["error"]) if "error" in message else None

    def _on_progress(self, progress: Progress) -> None:
        self.progress = progress
        if progress.done_bytes is not None:
            now = time.monotonic()
            self._progress_samples.append((now, progress.done_bytes))
            while self._progress_samples[0][0] < now - SPEED_WINDOW_SECONDS:
                self._progress_samples.popleft()
