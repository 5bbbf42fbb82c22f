"""Structured logs: one event a line, with its request, and never the text of a message."""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import TextIO, cast

import structlog
from flask import Flask


class _LogStream:
    """A file to print lines to, which are lost where they cannot be written.

    The log often lies on the disk that is full, and a page that can be shown must not fail for the line about it.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write, or do nothing."""
        with contextlib.suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        """Flush, or do nothing."""
        with contextlib.suppress(OSError):
            self._stream.flush()


def init_app(app: Flask) -> None:
    """Log to stderr from the configured level on, as text for people or as JSON for machines."""
    level = getattr(logging, app.config["LOG_LEVEL"].upper())
    as_json = app.config["LOG_FORMAT"] == "json"
    # A traceback shows where it broke and never the values there, among which are messages and the secret key.
    exception_renderer = structlog.processors.ExceptionRenderer(
        structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    )
    console_renderer = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([exception_renderer, structlog.processors.JSONRenderer()] if as_json else [console_renderer]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", _LogStream(sys.stderr))),
        cache_logger_on_first_use=False,
    )
