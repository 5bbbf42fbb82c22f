"""Errors of engines."""

from __future__ import annotations

from chatsite.errors.base import ChatsiteError, as_error, gettext_noop


class EngineError(ChatsiteError):
    """The engine could not write an answer."""

    code = "engine_failed"
    status = 500
    message_template = gettext_noop("The model could not answer.")


class PromptTooLongError(EngineError):
    """The instructions leave no room in the prompt for the latest message."""

    code = "prompt_too_long"
    message_template = gettext_noop("The message and the instructions do not fit in the context window of the model.")


class ModelLoadError(EngineError):
    """A model cannot be downloaded or loaded; takes `reason`."""

    code = "model_load_failed"
    status = 503
    message_template = gettext_noop("Cannot load the model: %(reason)s")

    def __init__(self, reason: ChatsiteError | str) -> None:
        super().__init__(reason=as_error(reason))


class EngineDiedError(EngineError):
    """The engine has stopped working."""

    code = "engine_died"
    message_template = "The thread that computes the answers has died."


class ScriptFailedError(EngineError):
    """The scripted engine was asked to fail."""

    code = "script_failed"
    message_template = "The script was asked to fail."


def reason_of(problem: Exception) -> ChatsiteError:
    """Return the reason of a load error, or else the error itself."""
    reason = problem.params["reason"] if isinstance(problem, ModelLoadError) else problem
    return as_error(reason)
