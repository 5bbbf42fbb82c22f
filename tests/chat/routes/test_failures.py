"""How an answer ended, in the reader's words."""

from __future__ import annotations

import pytest
from flask import Flask

from chatsite.errors import ChatsiteError, EngineError, OtherError, PromptTooLongError, as_error
from chatsite.models import Generation, Status
from chatsite.web.chat.failures import describe_failure

MEMORY = "The computer ran out of memory. Try a smaller model."


@pytest.mark.parametrize(
    ("error", "sentence", "details"),
    [
        (None, "This answer failed.", ""),
        (EngineError(), "This answer failed. The model could not answer.", ""),
        (PromptTooLongError(), "This answer failed. The message and the instructions do not fit", ""),
        (as_error("RuntimeError: out of memory"), MEMORY, "RuntimeError: out of memory"),
        (as_error(MemoryError()), MEMORY, "MemoryError"),
        (as_error("std::bad_alloc"), MEMORY, "std::bad_alloc"),
        (OtherError(text="KeyError: 'x' 100%"), "The model could not finish this answer.", "KeyError: 'x' 100%"),
    ],
)
def test_failure_is_told_in_plain_words(app: Flask, error: ChatsiteError | None, sentence: str, details: str) -> None:
    with app.test_request_context():
        failure = describe_failure(Generation(status=Status.FAILED, error=error))
    assert failure
    assert failure.sentence.startswith(sentence)
    assert failure.details == details


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.FAILED])
def test_other_endings_are_no_failure(app: Flask, status: Status) -> None:
    with app.test_request_context():
        assert describe_failure(Generation(status=status)) is None
        assert describe_failure(None) is None
