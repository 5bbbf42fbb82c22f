"""Errors of conversations, messages and answers."""

from __future__ import annotations

from chatsite.errors.base import ChatsiteError, NotFoundError, gettext_noop


class ConversationNotFoundError(NotFoundError):
    """The conversation does not exist, or not any more."""

    code = "conversation_not_found"
    message_template = gettext_noop("This chat does not exist or was deleted.")


class EmptyMessageError(ChatsiteError):
    """The message has no visible text."""

    code = "empty_message"
    status = 422
    message_template = gettext_noop("Write a message first.")


class MessageTooLongError(ChatsiteError):
    """The message has more characters than the setting allows; takes `most` and `length`."""

    code = "message_too_long"
    status = 422
    message_template = gettext_noop(
        "This message has %(length)s characters; the maximum is %(most)s. Shorten it a little."
    )


class InvalidEncodingError(ChatsiteError):
    """What was piped into a command has bytes that are no text; takes the `encoding` in which it was read."""

    code = "invalid_encoding"
    status = 422
    message_template = gettext_noop("This input is not valid %(encoding)s text.")


class EmptyTitleError(ChatsiteError):
    """The title of a conversation is empty."""

    code = "empty_title"
    status = 422
    message_template = gettext_noop("A title needs at least one letter.")


class TitleTooLongError(ChatsiteError):
    """The title of a conversation is too long; takes `most`."""

    code = "title_too_long"
    status = 422
    message_template = gettext_noop("A title can have up to %(most)s characters.")


class AnswerRunningError(ChatsiteError):
    """The conversation has an answer in progress already."""

    code = "answer_running"
    status = 409
    message_template = gettext_noop("An answer is still being written. Wait for it or stop it, then send again.")


class CannotRerunError(ChatsiteError):
    """The answer did not end in a way that Retry or Continue can repeat."""

    code = "cannot_rerun"
    status = 409
    message_template = gettext_noop("This answer can no longer be continued or regenerated.")


class QueueFullError(ChatsiteError):
    """The queue of this user or of the whole site is full."""

    code = "queue_full"
    status = 503
    message_template = gettext_noop(
        "Too many people are waiting for an answer. Your message is kept; send it again in a moment."
    )
    retry_after = 10


class UserQueueFullError(QueueFullError):
    """The user waits for as many answers as one user may."""

    code = "user_queue_full"
    message_template = gettext_noop(
        "You already have several answers in progress. Your message is kept; send it when one is done."
    )


class ConversationFullError(ChatsiteError):
    """The conversation has as many messages as one may; takes `most`."""

    code = "conversation_full"
    status = 409
    message_template = gettext_noop(
        "This chat has reached the limit of %(most)s messages. Your message is kept; start a new chat."
    )


class TooManyCopiesError(ChatsiteError):
    """The user copied too many conversations within an hour."""

    code = "too_many_copies"
    status = 429
    message_template = gettext_noop("You copied many chats. Try again in a minute.")
    retry_after = 60


class NetworkQueueFullError(QueueFullError):
    """The users of one network address wait for as many answers as they may together."""

    code = "network_queue_full"
    message_template = gettext_noop(
        "Too many people in your network are waiting for an answer. Your message is kept; send it again in a moment."
    )


class TooManyStreamsError(ChatsiteError):
    """Too many streams are open; each takes a thread."""

    code = "too_many_streams"
    status = 503
    message_template = gettext_noop("Too many open answers. Retrying automatically.")
    retry_after = 5


class TemporaryChatError(ChatsiteError):
    """A temporary chat cannot be shared, exported, pinned or tagged."""

    code = "temporary_chat"
    status = 409
    message_template = gettext_noop("This is a temporary chat. Save it first to do this.")


class NotTemporaryError(ChatsiteError):
    """The conversation is not temporary any more, so it cannot be closed."""

    code = "not_temporary"
    status = 409
    message_template = gettext_noop("This chat is saved. Delete it if you no longer need it.")


class DraftTooLongError(ChatsiteError):
    """The draft is too long to be saved."""

    code = "draft_too_long"
    status = 422
    message_template = gettext_noop("This draft is too long to be saved; it only exists in this tab.")


class TooFewModelsError(ChatsiteError):
    """A comparison needs two or more models."""

    code = "too_few_models"
    status = 422
    message_template = gettext_noop("Choose two or three models to compare; your text is kept.")


class InvalidRatingError(ChatsiteError):
    """The rating is neither up nor down."""

    code = "invalid_rating"
    status = 422
    message_template = gettext_noop("An answer can be rated good or bad.")


class RatingNoteTooLongError(ChatsiteError):
    """The note of a rating is too long; takes `most` and `length`."""

    code = "rating_note_too_long"
    status = 422
    message_template = gettext_noop(
        "This note has %(length)s characters; the maximum is %(most)s. Shorten it a little."
    )


class CannotRateError(ChatsiteError):
    """The message is no finished answer, so it cannot be rated."""

    code = "cannot_rate"
    status = 409
    message_template = gettext_noop("Only finished answers can be rated.")


class InvalidPresetError(ChatsiteError):
    """There is no preset with that name."""

    code = "invalid_preset"
    status = 422
    message_template = gettext_noop("Unknown style. Choose precise, balanced or creative.")


class InstructionsTooLongError(ChatsiteError):
    """The instructions are too long; takes `most` and `length`."""

    code = "instructions_too_long"
    status = 422
    message_template = gettext_noop(
        "These instructions have %(length)s characters; the maximum is %(most)s. Shorten them."
    )


class InstructionsTooLargeForContextError(ChatsiteError):
    """The instructions leave too little of the context window; takes `open_count`, `context` and `model`."""

    code = "instructions_too_large_for_context"
    status = 422
    message_template = gettext_noop(
        "These instructions use about %(taken)s of the %(context)s tokens of %(model)s. Shorten them to at most half."
    )


class InvalidOptionError(ChatsiteError):
    """A generation option is no number or is out of bounds; takes `name`, `least` and `most`."""

    code = "invalid_option"
    status = 422
    translated_params = ("name",)
    message_template = gettext_noop("%(name)s: enter a number from %(least)s to %(most)s, or leave it empty.")
