"""Answers in the making: what becomes of their errors."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from chatsite.engine.types import Turn
from chatsite.errors import ChatsiteError, EngineDiedError
from chatsite.errors.endpoints import EndpointBrokeError, EndpointRejectedError
from chatsite.runner.active_answers import ActiveAnswers
from chatsite.services.chat.generation_leases import ClaimedGeneration

SECRET = "my rash itches"


@pytest.mark.parametrize(
    ("error", "logged"),
    [
        (EndpointRejectedError(endpoint="far", detail=f"Cannot read: {SECRET}"), "endpoint_rejected"),
        (EndpointBrokeError(endpoint="far", detail=SECRET), "endpoint_broke"),
        (EngineDiedError(), str(EngineDiedError())),
    ],
)
def test_log_names_an_error_without_words_of_a_conversation(error: ChatsiteError, logged: str) -> None:
    answer = ActiveAnswers().add(ClaimedGeneration(1, 1, (Turn("user", SECRET),), "", 0, None))
    with capture_logs() as lines:
        answer.fail(error)
    assert [line["error"] for line in lines] == [logged]
    assert SECRET not in str(lines)
    # Whoever asked reads what the server said.
    assert answer.news.error is error
