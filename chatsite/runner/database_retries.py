"""Waiting for a database that cannot be used for a while: busy, away, full or read-only."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import structlog

from chatsite.errors import StorageError

T = TypeVar("T")

RETRY_SECONDS = 1.0

log = structlog.get_logger()


def retry_storage_errors(operation: Callable[[], T], stop: threading.Event) -> T:
    """Return the result of `operation`; try again each second as long as it raises StorageError.

    Raises the last StorageError once `stop` is set.
    """
    while True:
        try:
            return operation()
        except StorageError as error:
            log.warning("database_wait", reason=type(error).__name__)
            if stop.wait(RETRY_SECONDS):
                raise
