"""Imports files in a process of its own, which gives its memory back when it is done and harms nobody when it dies.

The runner looks whether a file waits and starts that process, which works until none does (`bringing.py`).
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog

from chatsite.services import import_claims

log = structlog.get_logger()

LOOK_SECONDS = 0.5


def settings_of(config: Mapping[str, Any]) -> dict[str, str]:
    """What the process has to know of an app's configuration."""
    return {
        "CHATSITE_INSTANCE": str(config["INSTANCE"]),
        "CHATSITE_DATABASE_URL": str(config["DATABASE_URL"]),
        "CHATSITE_IMPORT_MB": str(config["IMPORT_MB"]),
    }


class Importing:
    """Starts the process that imports whenever a file waits. `config` is the app's."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._settings = settings_of(config)
        self._owner = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._next_look = 0.0

    @property
    def pid(self) -> int:
        """The id of the process that imports; 0 where there is none."""
        return self._process.pid if self._process else 0

    def tend(self) -> None:
        """See whether there is something to do, at most twice a second. Needs an app context."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + LOOK_SECONDS
        if self._process is not None and self._process.poll() is not None:
            if self._process.returncode:
                log.warning("importer_died", status=self._process.returncode)
                import_claims.release(self._owner)
            self._process = None
        if self._process is None and import_claims.waiting():
            self._start()

    def close(self) -> None:
        """End what is under way; it goes on when a runner starts again. Needs an app context."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            import_claims.release(self._owner)

    def _start(self) -> None:
        self._owner = secrets.token_hex(8)
        command = [sys.executable, "-m", "chatsite.cli", "importer", self._owner, "--parent", str(os.getpid())]
        self._process = subprocess.Popen(  # noqa: S603 - every word is ours.
            command,
            env={**os.environ, **self._settings},
            cwd=Path(__file__).resolve().parents[2],
            stdin=subprocess.DEVNULL,
        )
