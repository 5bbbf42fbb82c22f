"""The child process for imports, which frees its memory when it ends and harms no answer when it crashes.

The runner checks whether an import is queued and starts `import_worker`, which works until none is left.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any

import structlog

from chatsite.child_process import ChildProcess, child_environment
from chatsite.runner import import_worker
from chatsite.services.transfer import import_leases

log = structlog.get_logger()

POLL_SECONDS = 0.5


class ImportProcess:
    """Starts the import worker whenever an import is queued. `config` is the configuration of the app."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._environment = child_environment(config, "INSTANCE", "DATABASE_URL", "MAX_IMPORT_MB")
        self._owner = ""
        self._process: ChildProcess | None = None
        self._next_poll_at = 0.0

    @property
    def pid(self) -> int:
        """The process id of the import worker; 0 if there is none."""
        return self._process.pid if self._process else 0

    def poll(self, *, may_reap: bool = True) -> None:
        """Start the import worker if an import is queued; look at most every POLL_SECONDS. Needs an app context.

        With `may_reap` also for an import whose lease has expired.
        """
        if time.monotonic() < self._next_poll_at:
            return
        self._next_poll_at = time.monotonic() + POLL_SECONDS
        if self._process is not None and not self._process.is_running:
            if self._process.status != 0:
                log.warning("importer_died", status=self._process.status)
                import_leases.expire(self._owner)
            self._process = None
        if self._process is None and import_leases.has_work(may_reap=may_reap):
            self._start_process()

    def close(self) -> None:
        """End the import worker and release its import, which continues with the next runner. Needs an app context."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            import_leases.release(self._owner)

    def _start_process(self) -> None:
        self._owner = secrets.token_hex(8)
        self._process = ChildProcess(["-m", import_worker.__name__, self._owner], self._environment)
