"""What is wrong with a description of models: the `reason` of a ModelLoadError, worded like those of `load_reasons`."""

from __future__ import annotations

from chatsite.errors.base import gettext_noop
from chatsite.errors.load_reasons import LoadReasonError


class UnknownModelNameError(LoadReasonError):
    """Takes `name` and `known`."""

    code = "unknown_model_name"
    message_template = gettext_noop("'%(name)s' is neither a folder nor one of %(known)s.")


class CustomModelsFileError(LoadReasonError):
    """Takes `file` and `cause`."""

    code = "custom_models_file"
    message_template = gettext_noop("%(file)s has a mistake: %(cause)s.")


class CustomModelsUnreadableError(LoadReasonError):
    """Takes `cause`."""

    code = "custom_models_unreadable"
    message_template = gettext_noop("it cannot be read (%(cause)s)")


class NoModelTableError(LoadReasonError):
    """Takes `key`."""

    code = "no_model_table"
    message_template = gettext_noop("%(key)s is outside of a model's table, such as [my-model]")


class InvalidModelNameError(LoadReasonError):
    """Takes `name`."""

    code = "invalid_model_name"
    message_template = gettext_noop(
        "[%(name)s] is already taken or not a valid name: use lower-case letters, digits, dots and hyphens"
    )


class UnknownModelKeyError(LoadReasonError):
    """Takes `name`, `key` and `keys`."""

    code = "unknown_model_key"
    message_template = gettext_noop("[%(name)s] has the unknown key %(key)s; the keys are %(keys)s")


class ModelKeyNotTextError(LoadReasonError):
    """Takes `name` and `key`."""

    code = "model_key_not_text"
    message_template = gettext_noop("%(key)s of [%(name)s] must be a text")


class ModelKeyNotNumberError(LoadReasonError):
    """Takes `name` and `key`."""

    code = "model_key_not_number"
    message_template = gettext_noop("%(key)s of [%(name)s] must be a whole number, 0 or larger")


class InvalidModelLanguagesError(LoadReasonError):
    """Takes `name`."""

    code = "invalid_model_languages"
    message_template = gettext_noop('languages of [%(name)s] must be a list of codes such as ["en", "es"]')


class UnknownModelFamilyError(LoadReasonError):
    """Takes `name` and `families`."""

    code = "unknown_model_family"
    message_template = gettext_noop("family of [%(name)s] must be one of %(families)s")


class NoModelSourceError(LoadReasonError):
    """Takes `name`."""

    code = "no_model_source"
    message_template = gettext_noop("[%(name)s] needs either a folder or a Hub repository")


class InvalidRepositoryError(LoadReasonError):
    """Takes `name`."""

    code = "invalid_repository"
    message_template = gettext_noop('hub of [%(name)s] must be a repository such as "owner/name"')
