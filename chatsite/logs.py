"""Structured logs: one event a line, with the request it belongs to, and never the text of a message."""

from __future__ import annotations

import logging
import sys

import structlog
from flask import Flask


def init_app(app: Flask) -> None:
    """Log to stderr from the configured level on, as text for people or as JSON for machines."""
    level = getattr(logging, app.config["LOG_LEVEL"].upper())
    machine = app.config["LOG_FORMAT"] == "json"
    # A traceback shows where it broke and never the values there, among which are messages and the secret key.
    traces = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))
    people = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([traces, structlog.processors.JSONRenderer()] if machine else [people]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
