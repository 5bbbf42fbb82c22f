"""Errors of personas."""

from __future__ import annotations

from chatsite.errors.base import ChatsiteError, NotFoundError, gettext_noop


class PersonaNameTooLongError(ChatsiteError):
    """The name of a persona is too long; takes `most`."""

    code = "persona_name_too_long"
    status = 422
    message_template = gettext_noop("A name can have up to %(most)s characters.")


class PersonaNameRequiredError(ChatsiteError):
    """The name of a persona is empty."""

    code = "persona_name_required"
    status = 422
    message_template = gettext_noop("Enter a name.")


class EmptyPersonaError(ChatsiteError):
    """A persona has neither instructions nor options."""

    code = "empty_persona"
    status = 422
    message_template = gettext_noop("Add instructions or change a setting first; there is nothing to save yet.")


class TooManyPersonasError(ChatsiteError):
    """The user has as many personas as a page can show; takes `most`."""

    code = "too_many_personas"
    status = 409
    message_template = gettext_noop("You already have %(most)s personas. Delete one first.")


class PersonaNotFoundError(NotFoundError):
    """The persona does not exist, or not any more."""

    code = "persona_not_found"
    message_template = gettext_noop("This persona does not exist or was deleted.")
