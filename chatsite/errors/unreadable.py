"""Why a file, or a part of it, cannot be imported; results of imports store these errors."""

from __future__ import annotations

from chatsite.errors.base import ChatsiteError, gettext_noop


class UnreadableError(ChatsiteError):
    """The base class of errors in a file or in one of its conversations."""

    code = "unreadable"
    status = 422
    message_template = gettext_noop("This part of the file is damaged.")


class MessageTooLargeError(UnreadableError):
    """A message of the import is too long."""

    code = "imported_message_too_long"
    message_template = gettext_noop("One of its messages has more than a million characters.")


class NoConversationError(UnreadableError):
    """The record is no conversation in a known format."""

    code = "no_conversation"
    message_template = gettext_noop("This is not a chat in a supported format.")


class NothingWrittenError(UnreadableError):
    """The conversation has no text."""

    code = "nothing_written"
    message_template = gettext_noop("It contains nothing that you or a model wrote.")


class UnknownContentError(UnreadableError):
    """The conversation has content, and none of it has a known form."""

    code = "unknown_content"
    message_template = gettext_noop("Its messages have a format that is not supported.")


class FilesWithoutMessageError(UnreadableError):
    """Files of an archive belong to no message; takes `count` and `names`."""

    code = "files_without_message"
    message_template = gettext_noop("These files of the archive belong to no message (%(count)s): %(names)s")


class PartsWithoutConversationsError(UnreadableError):
    """Files of an archive, or lists of a file, have no conversations; takes `count` and `names`."""

    code = "parts_without_conversations"
    message_template = gettext_noop("These contain no chats and are not imported (%(count)s): %(names)s")


class RatingsWithoutAnswerError(UnreadableError):
    """Ratings of an archive belong to no answer in it; takes `count`."""

    code = "ratings_without_answer"
    message_template = gettext_noop("The answers that were rated are not in the archive (ratings: %(count)s).")


class ProjectPartsError(UnreadableError):
    """Projects have more than can be imported; takes `documents` and `descriptions`, which are counts, and `names`."""

    code = "project_parts"
    message_template = gettext_noop(
        "Of projects, only the instructions are imported, as personas. Left out: documents (%(documents)s) and "
        "descriptions (%(descriptions)s) of %(names)s"
    )


class BeyondLimitError(UnreadableError):
    """Of some kind there are more than one user, or one file, may have; takes `count`, of what was left out."""

    code = "beyond_limit"
    message_template = gettext_noop("There is a limit for them. Left out: %(count)s.")


class InstructionsCutError(UnreadableError):
    """The instructions of personas are longer than they may be; takes `count`, of the characters left out."""

    code = "instructions_cut"
    message_template = gettext_noop(
        "Their instructions are longer than the limit and were shortened. Characters left out: %(count)s."
    )


class ArchiveDamagedError(UnreadableError):
    """The zip archive cannot be unpacked."""

    code = "archive_damaged"
    message_template = gettext_noop("This zip archive is damaged.")


class ArchiveLockedError(UnreadableError):
    """The zip archive has a password."""

    code = "archive_locked"
    message_template = gettext_noop("This zip archive is protected with a password.")


class ArchiveTooDeepError(UnreadableError):
    """An archive lies in an archive that is in the archive itself."""

    code = "archive_too_deep"
    message_template = gettext_noop("This archive is inside an archive inside another one. Unpack it first.")


class ArchiveBombError(UnreadableError):
    """The zip archive unpacks to far more than its size."""

    code = "archive_bomb"
    message_template = gettext_noop("This zip archive expands to more data than is allowed.")


class NothingFoundError(UnreadableError):
    """The file has no conversations."""

    code = "no_conversations_found"
    message_template = gettext_noop("No chats were found in this file.")


class RecordDamagedError(UnreadableError):
    """A part of the file is no JSON."""

    code = "record_damaged"
    message_template = gettext_noop("This part of the file is damaged.")


class RecordTooLargeError(UnreadableError):
    """A conversation of the file takes too much memory."""

    code = "record_too_large"
    message_template = gettext_noop("It is larger than 32 MB.")


class RecordTooDeepError(UnreadableError):
    """A record of the file is nested too deeply."""

    code = "record_too_deep"
    message_template = gettext_noop("It has too many levels for a chat.")


class NotJsonError(UnreadableError):
    """The file has no known format."""

    code = "not_json"
    message_template = gettext_noop("This is not a JSON file, Markdown file or zip archive.")


class UnknownFormatError(UnreadableError):
    """The file is JSON and has no conversation in a known format."""

    code = "unknown_format"
    message_template = gettext_noop("This file is not an export that can be imported. See the list of supported files.")


class UnsupportedProductError(UnreadableError):
    """The file is an export of a `product` that cannot be read."""

    code = "unsupported_product"
    message_template = gettext_noop(
        "Exports from %(product)s cannot be imported yet. If it can save chats as Markdown, import those files instead."
    )


class NoConversationsInFileError(UnreadableError):
    """The file is a part of a `product`'s archive that never contains conversations; `name` is the file that does."""

    code = "no_conversations_in_file"
    message_template = gettext_noop(
        "This file from %(product)s contains no chats. Choose %(name)s from the same archive, or all of it."
    )


class ArchivePageError(UnreadableError):
    """The file is the web page in an archive of ChatGPT, which shows what its JSON contains."""

    code = "archive_page"
    message_template = gettext_noop(
        "This is the web page of a ChatGPT archive. Choose conversations.json from the same archive, or all of it."
    )


class TakeoutPageError(UnreadableError):
    """The activity of Gemini was exported as a web page."""

    code = "takeout_page"
    message_template = gettext_noop(
        "This is Google Takeout as HTML. In Takeout, choose JSON as the format of My Activity and import that archive."
    )


class OtherArchiveError(UnreadableError):
    """The file is an archive of another `kind` than zip."""

    code = "other_archive"
    message_template = gettext_noop(
        "This is a %(kind)s archive. Unpack it and import the files in it, or pack them as a zip archive."
    )


class OtherEncodingError(UnreadableError):
    """The file is a text in another `encoding` than UTF-8."""

    code = "other_encoding"
    message_template = gettext_noop("This file is encoded as %(encoding)s. Save it as UTF-8 and import it again.")


class TemplateError(UnreadableError):
    """The file has placeholders in the place of values."""

    code = "template"
    message_template = gettext_noop("This is a template with placeholders, not an export.")


class NotesWithoutRolesError(UnreadableError):
    """So many Markdown files have no headings that say who wrote what; takes `count`."""

    code = "notes_without_roles"
    message_template = gettext_noop(
        "Markdown files have to say who wrote what. Add headings such as “User” and “Assistant” and import them again "
        "(files: %(count)s)."
    )


class MoreUnknownRecordsError(UnreadableError):
    """So many more parts of a file are no conversations; takes `count`."""

    code = "more_unknown_records"
    message_template = gettext_noop("More parts of the file that are not chats in a supported format: %(count)s.")


class NewerVersionError(UnreadableError):
    """The file has a later version of the export format."""

    code = "newer_version"
    message_template = gettext_noop("This export is from a newer version of chatsite and cannot be imported.")
