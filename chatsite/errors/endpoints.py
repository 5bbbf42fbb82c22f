"""Errors of endpoints: what is wrong with how one is written down, and why one does not answer.

No error holds a key, nor what a server that nobody knows has replied, except for the short sentence in which it says
what is wrong.
"""

from __future__ import annotations

from chatsite.errors.base import ChatsiteError, gettext_noop
from chatsite.errors.engine import EngineError


class EndpointConfigError(ChatsiteError):
    """The base class of mistakes in the description of an endpoint."""

    code = "endpoint_config"
    status = 503
    message_template = gettext_noop("Something went wrong.")


class InvalidEndpointUrlError(EndpointConfigError):
    """Takes `url`."""

    code = "invalid_endpoint_url"
    message_template = gettext_noop(
        "%(url)s is not the address of a model server, such as http://127.0.0.1:11434/v1, without a name or a password"
    )


class InvalidEndpointNameError(EndpointConfigError):
    """Takes `name`."""

    code = "invalid_endpoint_name"
    message_template = gettext_noop(
        "[%(name)s] is not a valid name of an endpoint: use up to 40 lower-case letters, digits and hyphens"
    )


class EndpointNumberError(EndpointConfigError):
    """Takes `name`, `key` and `most`."""

    code = "invalid_endpoint_number"
    message_template = gettext_noop("%(key)s of [%(name)s] must be a whole number between 1 and %(most)s")


class EndpointModelsError(EndpointConfigError):
    """Takes `name`."""

    code = "invalid_endpoint_models"
    message_template = gettext_noop('models of [%(name)s] must be a list of names such as ["llama3.2:3b"]')


class EndpointKeySourceError(EndpointConfigError):
    """Takes `name`."""

    code = "invalid_endpoint_key_source"
    message_template = gettext_noop(
        "[%(name)s] needs either key_env, the name of an environment variable, or key_file, never the key itself"
    )


class EndpointError(EngineError):
    """An endpoint could not write an answer; takes `endpoint`."""

    code = "endpoint_failed"
    status = 502
    message_template = gettext_noop("%(endpoint)s could not answer.")


class EndpointUnreachableError(EndpointError):
    """Takes `endpoint`."""

    code = "endpoint_unreachable"
    message_template = gettext_noop("%(endpoint)s cannot be reached.")


class EndpointUnknownError(EndpointError):
    """Takes `endpoint`."""

    code = "endpoint_unknown"
    message_template = gettext_noop("There is no server %(endpoint)s.")


class EndpointKeyMissingError(EndpointError):
    """Takes `endpoint` and `variable`."""

    code = "endpoint_key_missing"
    message_template = gettext_noop("The key of %(endpoint)s is missing: the variable %(variable)s is not set.")


class EndpointKeyFileError(EndpointError):
    """Takes `endpoint` and `file`."""

    code = "endpoint_key_file"
    message_template = gettext_noop(
        "The key of %(endpoint)s cannot be used: %(file)s must be a file that only its owner can read."
    )


class EndpointKeyInvalidError(EndpointError):
    """Takes `endpoint`."""

    code = "endpoint_key_invalid"
    message_template = gettext_noop("The key of %(endpoint)s is not in the form of a key.")


class EndpointCertificatesError(EndpointError):
    """Takes `endpoint` and `file`."""

    code = "endpoint_certificates"
    message_template = gettext_noop("The certificates for %(endpoint)s cannot be read from %(file)s.")


class EndpointKeyRejectedError(EndpointError):
    """Takes `endpoint`."""

    code = "endpoint_key_rejected"
    message_template = gettext_noop("%(endpoint)s does not accept its key.")


class EndpointUnpaidError(EndpointError):
    """Takes `endpoint`."""

    code = "endpoint_unpaid"
    message_template = gettext_noop("%(endpoint)s requires payment: the account has no credit left.")


class EndpointModelMissingError(EndpointError):
    """Takes `endpoint` and `model`."""

    code = "endpoint_model_missing"
    message_template = gettext_noop("%(endpoint)s does not have %(model)s.")


class EndpointBusyError(EndpointError):
    """Takes `endpoint`."""

    code = "endpoint_busy"
    message_template = gettext_noop("%(endpoint)s is overloaded.")


class EndpointRejectedError(EndpointError):
    """Takes `endpoint` and `detail`."""

    code = "endpoint_rejected"
    message_template = gettext_noop("%(endpoint)s rejected the request: %(detail)s")


class EndpointBrokeError(EndpointError):
    """Takes `endpoint` and `detail`."""

    code = "endpoint_broke"
    message_template = gettext_noop("%(endpoint)s has failed: %(detail)s")


class EndpointSilentError(EndpointError):
    """Takes `endpoint` and `seconds`."""

    code = "endpoint_silent"
    message_template = gettext_noop("%(endpoint)s sent nothing for %(seconds)s seconds.")


class EndpointCutOffError(EndpointError):
    """Takes `endpoint`."""

    code = "endpoint_cut_off"
    message_template = gettext_noop("The connection to %(endpoint)s was lost in the middle of the answer.")


class EndpointRedirectError(EndpointError):
    """Takes `endpoint`."""

    code = "endpoint_redirect"
    message_template = gettext_noop("%(endpoint)s redirects to another address, which is not allowed.")


class EndpointGarbageError(EndpointError):
    """Takes `endpoint`."""

    code = "endpoint_garbage"
    message_template = gettext_noop("%(endpoint)s does not answer like a model server. Check its address.")


class EndpointFilteredError(EndpointError):
    """Takes `endpoint`."""

    code = "endpoint_filtered"
    message_template = gettext_noop("%(endpoint)s blocked the rest of the answer.")


class EndpointPausedError(EndpointError):
    """Takes `endpoint` and `reason`."""

    code = "endpoint_paused"
    message_template = gettext_noop("%(endpoint)s is paused after failures: %(reason)s")


class EndpointCannotContinueError(EndpointError):
    """Takes `endpoint`."""

    code = "endpoint_cannot_continue"
    message_template = gettext_noop("%(endpoint)s cannot continue an answer. Try again from the question.")
