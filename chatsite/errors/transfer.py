"""Errors of imports and exports."""

from __future__ import annotations

from chatsite.errors.base import ChatsiteError, gettext_noop


class ImportQuotaExceededError(ChatsiteError):
    """The user has as many bytes queued for import as the setting allows."""

    code = "import_quota_exceeded"
    status = 413
    message_template = gettext_noop("Your queued imports are too large together. Wait until some of them are finished.")


class NetworkImportQuotaExceededError(ChatsiteError):
    """The users of one network address have as many bytes queued for import as they may together."""

    code = "network_import_quota_exceeded"
    status = 503
    message_template = gettext_noop(
        "The queued imports of your network are too large together. Wait until some of them are finished."
    )
    retry_after = 60


class TooManyUploadsError(ChatsiteError):
    """Too many uploads or long texts are arriving; each takes a thread."""

    code = "too_many_uploads"
    status = 503
    message_template = gettext_noop("Too much is being uploaded. Nothing was saved; try again in a moment.")
    retry_after = 10


class TooManyExportsError(ChatsiteError):
    """Too many files are being sent; each takes a thread."""

    code = "too_many_exports"
    status = 503
    message_template = gettext_noop("Other downloads are still in progress. Try again in a moment.")
    retry_after = 10


class ImportTooLargeError(ChatsiteError):
    """A file is too large to be imported; takes `most` in MB."""

    code = "import_too_large"
    status = 413
    message_template = gettext_noop("You can import up to %(most)s MB at a time. Nothing was saved.")


class TooManyImportFilesError(ChatsiteError):
    """More files were selected than one form may have; takes `most`."""

    code = "too_many_import_files"
    status = 413
    message_template = gettext_noop(
        "You can import up to %(most)s files at a time. Nothing was saved. A zip archive can contain them all."
    )


class NothingToExportError(ChatsiteError):
    """The user has no conversations."""

    code = "nothing_to_export"
    status = 404
    message_template = gettext_noop("No chats yet.")


class ImportFileRequiredError(ChatsiteError):
    """No file was selected."""

    code = "import_file_required"
    status = 422
    message_template = gettext_noop("Choose a file first.")


class UploadIncompleteError(ChatsiteError):
    """The upload ended before the file was complete."""

    code = "upload_incomplete"
    message_template = gettext_noop("The upload was incomplete. Try again.")


class ImportCrashedError(ChatsiteError):
    """Several processes died while they read the file."""

    code = "import_crashed"
    status = 500
    message_template = gettext_noop("Importing this file failed repeatedly and was stopped.")


class ImportCollidedError(ChatsiteError):
    """Another process stored the same conversation at the same time."""

    code = "import_collided"
    status = 409
    message_template = gettext_noop("A conflict occurred while saving. Import the file again.")


class ImportBrokenError(ChatsiteError):
    """The import failed because of an error of the site."""

    code = "import_broken"
    status = 500
    message_template = gettext_noop("Something went wrong on our side while importing this file.")
