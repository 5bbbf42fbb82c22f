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
    renderer = (
        structlog.processors.JSONRenderer() if machine else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([structlog.processors.dict_tracebacks] if machine else []),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
