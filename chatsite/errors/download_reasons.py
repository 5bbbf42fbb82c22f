"""Why a model cannot be downloaded: the `reason` of a ModelLoadError, worded like those of `load_reasons`."""

from __future__ import annotations

from chatsite.errors.base import gettext_noop
from chatsite.errors.load_reasons import LoadReasonError


class NoWeightsError(LoadReasonError):
    """Takes `name`."""

    code = "no_weights"
    message_template = gettext_noop("%(name)s has no model files.")


class NotOurWeightsError(LoadReasonError):
    """Takes `name`."""

    code = "weights_not_ours"
    message_template = gettext_noop("the files of %(name)s are not managed by the site.")


class DownloadRunningError(LoadReasonError):
    """Takes `name`."""

    code = "download_running"
    message_template = gettext_noop("%(name)s is already being downloaded.")


class Sha256MismatchError(LoadReasonError):
    """Takes `file`."""

    code = "sha256_mismatch"
    message_template = gettext_noop("%(file)s is not the published file: its SHA-256 differs.")


class DiskFullError(LoadReasonError):
    """Takes `name`, `needed` and `free`."""

    code = "disk_full"
    message_template = gettext_noop("not enough disk space for %(name)s: %(needed)s needed, %(free)s free.")


class HubOfflineError(LoadReasonError):
    """Takes `repo`."""

    code = "hub_offline"
    message_template = gettext_noop(
        "%(repo)s is not in the Hugging Face cache, and HF_HUB_OFFLINE does not allow downloading it."
    )


class HubUnreachableError(LoadReasonError):
    """Takes `repo` and `cause`."""

    code = "hub_unreachable"
    message_template = gettext_noop("%(repo)s is not in the Hugging Face cache and cannot be downloaded: %(cause)s")


class NoReadableFormatError(LoadReasonError):
    """Takes `repo`."""

    code = "no_readable_format"
    message_template = gettext_noop("%(repo)s has no model files in a supported format.")


class DigestMismatchError(LoadReasonError):
    """Takes `file` and `repo`."""

    code = "digest_mismatch"
    message_template = gettext_noop("%(file)s of %(repo)s is not the published file: its digest differs.")


class FileDownloadError(LoadReasonError):
    """Takes `file`, `repo` and `cause`."""

    code = "file_download_failed"
    message_template = gettext_noop("cannot download %(file)s of %(repo)s: %(cause)s")


class ConnectionClosedError(LoadReasonError):
    code = "connection_closed"
    message_template = gettext_noop("the connection ended too early.")


class PackageDownloadError(LoadReasonError):
    """Takes `package` and `cause`."""

    code = "package_download_failed"
    message_template = gettext_noop("pip could not download %(package)s: %(cause)s")


class DownloadEndedError(LoadReasonError):
    """Takes `status`."""

    code = "download_ended"
    message_template = gettext_noop("the download process ended with status %(status)s.")
