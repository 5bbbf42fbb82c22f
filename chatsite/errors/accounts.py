"""Errors of users and their links."""

from __future__ import annotations

from chatsite.errors.base import ChatsiteError, NotFoundError, gettext_noop


class LinkExpiredError(NotFoundError):
    """A link from the terminal was used already or is too old."""

    code = "link_expired"
    message_template = gettext_noop(
        "This link was already used or is older than ten minutes. Create a new one in the terminal."
    )


class TooManyNewUsersError(ChatsiteError):
    """Too many visitors of one network address wrote something for the first time."""

    code = "too_many_new_users"
    status = 429
    message_template = gettext_noop(
        "Too many new visitors from your network. Your text is kept; send it again in a moment."
    )
    retry_after = 10
