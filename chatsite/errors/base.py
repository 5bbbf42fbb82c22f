"""The base of all errors for people: a code for programs, a message for readers, and its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


def gettext_noop(text: str) -> str:
    """Mark a text for translation without translating it: the reader's language is known only later."""
    return text


class ChatsiteError(Exception):
    """The base class of errors with a message for the reader; `params` fill its `%(name)s` places.

    A param may be an error itself, such as the reason of another one. Each class has a `code` of its own, which is
    stored and given to programs, and so never changes its meaning.
    """

    code = "failed"
    status = 400
    message_template = gettext_noop("Something went wrong.")
    retry_after: int | None = None
    # The parameters that are words of ours, to be translated as the sentence is.
    translated_params: tuple[str, ...] = ()

    by_code: ClassVar[dict[str, type[ChatsiteError]]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "code" not in vars(cls) or ChatsiteError.by_code.setdefault(cls.code, cls) is not cls:
            raise TypeError(f"{cls.__name__} has no code of its own.")

    def __init__(self, **params: object) -> None:
        super().__init__(self.message_template % params if params else self.message_template)
        self.params = {name: _simple(value) for name, value in params.items()}

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and isinstance(other, ChatsiteError) and other.params == self.params

    def __hash__(self) -> int:
        return hash(self.code)

    def __reduce__(self) -> tuple[Any, ...]:
        return from_reason, (self.to_reason(),)

    def to_dict(self) -> dict[str, Any]:
        """Return the error for programs, with its English message."""
        return {"code": self.code, "message": str(self), "params": self.to_reason()["params"]}

    def to_reason(self) -> dict[str, Any]:
        """Return the error as it is stored and sent between processes: code and JSON parameters."""
        params = self.params.items()
        reasons = {name: value.to_reason() for name, value in params if isinstance(value, ChatsiteError)}
        return {"code": self.code, "params": {**self.params, **reasons}}


ChatsiteError.by_code[ChatsiteError.code] = ChatsiteError


class NotFoundError(ChatsiteError):
    """Nothing with that id belongs to the user; whether it belongs to another user is not said."""

    code = "not_found"
    status = 404
    message_template = gettext_noop("This does not exist or was deleted.")


class OtherError(ChatsiteError):
    """An unexpected error with its own text; takes `text`."""

    code = "other"
    status = 500
    message_template = "%(text)s"


def as_error(problem: object) -> ChatsiteError:
    """Return an error of ours for any exception; an unknown one keeps its own message."""
    if isinstance(problem, ChatsiteError):
        return problem
    if isinstance(problem, BaseException):
        return OtherError(text=str(problem) or type(problem).__name__)
    return OtherError(text=str(problem))


def from_reason(reason: object) -> ChatsiteError:
    """Rebuild an error from the result of `to_reason`; an unknown code becomes an error that names the code."""
    if not isinstance(reason, Mapping) or not isinstance(reason.get("params"), Mapping):
        return as_error(reason)
    params = {str(name): _whole(value) for name, value in reason["params"].items()}
    try:
        return ChatsiteError.by_code[reason.get("code", "")](**params)
    except (KeyError, TypeError, ValueError):
        return OtherError(text=str(reason.get("code")))


def _simple(value: object) -> object:
    """Convert a parameter to JSON: nested errors by code, other unknown types as text."""
    return value if value is None or isinstance(value, str | int | float | ChatsiteError) else str(value)


def _whole(value: object) -> object:
    return from_reason(value) if isinstance(value, Mapping) else value
