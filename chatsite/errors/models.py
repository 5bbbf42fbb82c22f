"""Errors of downloading, choosing and removing models."""

from __future__ import annotations

from chatsite.errors.base import ChatsiteError, NotFoundError, gettext_noop


class ModelNotFoundError(NotFoundError):
    """No model with that name is in the catalog."""

    code = "model_not_found"
    message_template = gettext_noop("Unknown model.")


class ModelAlreadyDownloadedError(ChatsiteError):
    """The model is downloaded already."""

    code = "model_already_downloaded"
    status = 409
    message_template = gettext_noop("This model is already downloaded.")


class ModelNotDownloadedError(ChatsiteError):
    """The model is not downloaded, so it cannot be removed."""

    code = "model_not_downloaded"
    status = 409
    message_template = gettext_noop("This model is not downloaded.")


class ModelBusyError(ChatsiteError):
    """The model is being downloaded or removed already."""

    code = "model_busy"
    status = 409
    message_template = gettext_noop("This model is already being downloaded or removed.")


class DefaultModelInUseError(ChatsiteError):
    """The model answers new conversations, so it cannot be removed."""

    code = "default_model_in_use"
    status = 409
    message_template = gettext_noop("This is the default model. Choose another default first.")


class DefaultModelConfiguredError(ChatsiteError):
    """The settings name the default model, so it cannot be chosen on a page."""

    code = "default_model_configured"
    status = 409
    message_template = gettext_noop("The default model is set by CHATSITE_DEFAULT_MODEL.")


class ModelNotDownloadableError(ChatsiteError):
    """The model cannot be downloaded: it has no weights, or they are in a folder."""

    code = "model_not_downloadable"
    status = 409
    message_template = gettext_noop("The site does not manage the files of this model.")


class ModelManagementDisabledError(ChatsiteError):
    """Visitors may not manage models on this site; takes `name`."""

    code = "model_management_disabled"
    status = 403
    message_template = gettext_noop(
        "Models are managed on the server's command line: chatsite models pull %(name)s, or remove."
    )


class ModelNotAvailableError(ChatsiteError):
    """The chosen model is not on this machine; takes `model`."""

    code = "model_not_available"
    status = 409
    message_template = gettext_noop(
        "%(model)s is not downloaded. Choose another model below the message box; your text is kept."
    )


class EndpointNotFoundError(NotFoundError):
    """No server with that name belongs to the site, or was found."""

    code = "endpoint_not_found"
    message_template = gettext_noop("Unknown model server.")


class EndpointConfiguredError(ChatsiteError):
    """The settings name the endpoint, so it cannot be removed on a page."""

    code = "endpoint_configured"
    status = 409
    message_template = gettext_noop("This server is set by CHATSITE_ENDPOINT or models.toml.")


class EndpointManagementDisabledError(ChatsiteError):
    """Visitors may not manage endpoints on this site."""

    code = "endpoint_management_disabled"
    status = 403
    message_template = gettext_noop("Servers are managed on the server's command line: chatsite models discover.")
