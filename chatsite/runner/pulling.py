"""A model being fetched by a child process, which gives its memory back when it is done and can be ended any time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chatsite.engine import Progress, Report, reasons
from chatsite.engine.reasons import because
from chatsite.errors import ModelUnavailableError

REPORT_SECONDS = 0.2
SPEED_SECONDS = 10.0
LAST_WORDS = 300


def settings_of(config: Mapping[str, Any]) -> dict[str, str]:
    """What a child has to know of an app's configuration."""
    return {"CHATSITE_INSTANCE": str(config["INSTANCE"]), "CHATSITE_MODELS_FILE": str(config["MODELS_FILE"])}


def fetch(name: str, report: Report, settings: Mapping[str, str]) -> None:
    """Have a child fetch the model `name`, and wait for it. Raises ModelUnavailableError when it cannot be had."""
    pull = Pull(name, settings)
    while not pull.over.wait(REPORT_SECONDS):
        report(pull.progress)
    if pull.error is not None:
        raise ModelUnavailableError(reason=pull.error)


class Pull:
    """The fetching of the model `name`, which begins at once.

    `settings` are environment variables for the child. `error` and `revision` are set when it is `over`, one of them.
    """

    def __init__(self, name: str, settings: Mapping[str, str]) -> None:
        self.name = name
        self.progress = Progress("fetching")
        self.error: str | None = None
        self.revision: str | None = None
        self.over = threading.Event()
        self._marks: deque[tuple[float, int]] = deque()
        command = [sys.executable, "-m", "chatsite.cli", "models", "pull", name, "--json"]
        self._process = subprocess.Popen(  # noqa: S603 - the name is one of the catalogue.
            [*command, "--parent", str(os.getpid())],
            env={**os.environ, **settings},
            cwd=Path(__file__).resolve().parents[2],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        threading.Thread(target=self._listen, name="pull", daemon=True).start()

    @property
    def speed(self) -> float | None:
        """Bytes a second over the last ten seconds; None where nothing is known yet."""
        marks = list(self._marks)
        if len(marks) < 2 or marks[-1][0] <= marks[0][0]:
            return None
        return max(0.0, (marks[-1][1] - marks[0][1]) / (marks[-1][0] - marks[0][0]))

    def end(self) -> None:
        """Kill the child and wait until it is gone; what has arrived stays for the next try."""
        self._process.kill()
        self.over.wait()

    def _listen(self) -> None:
        said = ""
        for line in self._process.stdout or ():
            said = self._hear(line) or said
        status = self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
        if self.revision is None and self.error is None:
            self.error = said or because(reasons.ENDED, status=status)
        self.over.set()

    def _hear(self, line: str) -> str:
        """Take in a line of the child's; gives back what is none of its own."""
        try:
            values: dict[str, Any] = json.loads(line)
            if "stage" in values:
                self._note(Progress(**values))
            else:
                self.error, self.revision = values.get("error"), values.get("revision")
        except (ValueError, TypeError, AttributeError):
            return line.strip()[-LAST_WORDS:]
        return ""

    def _note(self, progress: Progress) -> None:
        self.progress = progress
        if progress.done is not None:
            now = time.monotonic()
            self._marks.append((now, progress.done))
            while self._marks[0][0] < now - SPEED_SECONDS:
                self._marks.popleft()
