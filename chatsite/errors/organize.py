"""Errors of tags, bulk actions and undo."""

from __future__ import annotations

from chatsite.errors.base import ChatsiteError, gettext_noop


class NothingSelectedError(ChatsiteError):
    """No conversation was selected."""

    code = "nothing_selected"
    status = 422
    message_template = gettext_noop("Select at least one chat first.")


class TooManySelectedError(ChatsiteError):
    """Too many conversations were selected for one write; takes `most`."""

    code = "too_many_selected"
    status = 422
    message_template = gettext_noop("You can change up to %(most)s chats at once.")


class EmptyTagError(ChatsiteError):
    """The name of a tag is empty."""

    code = "empty_tag"
    status = 422
    message_template = gettext_noop("A tag needs at least one letter.")


class TagTooLongError(ChatsiteError):
    """The name of a tag is too long; takes `most`."""

    code = "tag_too_long"
    status = 422
    message_template = gettext_noop("A tag can have up to %(most)s characters.")


class TagAlreadyExistsError(ChatsiteError):
    """Another tag has the same name; takes `name`."""

    code = "tag_already_exists"
    status = 409
    message_template = gettext_noop("The tag “%(name)s” already exists.")


class TooManyTagsError(ChatsiteError):
    """The user has as many tags as a page can offer; takes `most`."""

    code = "too_many_tags"
    status = 409
    message_template = gettext_noop("You can have up to %(most)s tags. Delete one you no longer need.")


class InvalidColorError(ChatsiteError):
    """There is no color with that name."""

    code = "invalid_color"
    status = 422
    message_template = gettext_noop("Unknown color.")


class UndoExpiredError(ChatsiteError):
    """The change was undone already, or its conversations are gone."""

    code = "undo_expired"
    status = 409
    message_template = gettext_noop("This can no longer be undone.")
