"""Errors of the search."""

from __future__ import annotations

from chatsite.errors.base import ChatsiteError, gettext_noop


class InvalidDateError(ChatsiteError):
    """The text is no date."""

    code = "invalid_date"
    status = 422
    message_template = gettext_noop("Invalid date. Use YYYY-MM-DD, for example 2026-03-31.")
