"""Refusals in the form in which clients of OpenAI's interface read them."""

from __future__ import annotations

from typing import Any

from chatsite.errors import ChatsiteError, EmptyMessageError, PromptTooLongError

SERVER_ERROR_STATUS, TOO_MANY_STATUS = 500, 429


class ApiError(Exception):
    """A request that is not answered, with the status that says why.

    `code` is for programs, `param` names the field that is at fault. After `retry_after` seconds, if that is set, the
    same request may be answered.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        code: str | None = None,
        param: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.retry_after = retry_after

    @property
    def body(self) -> dict[str, Any]:
        """The JSON that clients read, also as an event in the middle of a stream."""
        error_type = "server_error" if self.status >= SERVER_ERROR_STATUS else "invalid_request_error"
        error_type = "rate_limit_error" if self.status == TOO_MANY_STATUS else error_type
        return {"error": {"message": str(self), "type": error_type, "param": self.param, "code": self.code}}

    @property
    def headers(self) -> dict[str, str]:
        """The headers that belong to the status."""
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}


def from_engine_error(error: ChatsiteError | None) -> ApiError:
    """Return what a client is told of the error with which an engine ended an answer."""
    if isinstance(error, PromptTooLongError):
        return ApiError(str(error), code="context_length_exceeded", param="messages")
    if isinstance(error, EmptyMessageError):
        return ApiError(str(error), code=error.code, param="messages")
    if error is None:
        return ApiError("The model could not answer.", status=500, code="engine_failed")
    return ApiError(str(error), status=500, code=error.code)
