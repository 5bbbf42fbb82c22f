"""The limit of the database's size: beyond it nothing new is stored, but all can be read, changed and deleted."""

from __future__ import annotations

from flask import Flask, current_app, request

from chatsite.services import storage

# What stores new rows. Other requests change rows that there are, or delete some.
GROWING_ENDPOINTS = frozenset(
    {
        *("messages.create", "messages.regenerate", "versions.create", "versions.fork", "public_shares.create"),
        *("imports.create", "shares.create", "personas.create", "tags.create", "drafts.create", "drafts.update"),
        *("settings.create_answer", "comparisons.regenerate"),
    }
)


def init_app(app: Flask) -> None:
    """Check the size of the database before each request that makes it grow."""
    app.before_request(require_room)


def require_room() -> None:
    """Refuse a request that would make the database grow beyond its limit. Raises DatabaseFullError."""
    if request.endpoint in GROWING_ENDPOINTS and request.method not in {"GET", "HEAD", "OPTIONS"}:
        storage.require_room(current_app.config["MAX_DATABASE_MB"] * 1_000_000)
