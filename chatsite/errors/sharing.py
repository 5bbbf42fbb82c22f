"""Errors of shared pages."""

from __future__ import annotations

from chatsite.errors.base import ChatsiteError, gettext_noop


class ShareAnswerRunningError(ChatsiteError):
    """The last answer is in progress, so the branch cannot be shared yet."""

    code = "share_answer_running"
    status = 409
    message_template = gettext_noop("An answer is still being written. Wait for it or stop it, then share.")


class NothingToShareError(ChatsiteError):
    """The conversation has no message to share."""

    code = "nothing_to_share"
    status = 409
    message_template = gettext_noop("Nothing to share yet.")


class ShareTooLongToCopyError(ChatsiteError):
    """The shared page is too long to be copied in one write."""

    code = "share_too_long_to_copy"
    status = 409
    message_template = gettext_noop("This chat is too long to copy. You can still read it here.")


class InvalidLifetimeError(ChatsiteError):
    """The time to share for is not one of those offered."""

    code = "invalid_lifetime"
    status = 422
    message_template = gettext_noop("A link expires in a day, in a week, in 30 days, or never.")


class TooManySharesError(ChatsiteError):
    """The conversation has as many shares as it may; takes `most`."""

    code = "too_many_shares"
    status = 409
    message_template = gettext_noop("A chat can have up to %(most)s shared links. Delete one first.")
