"""Ratings: which are kept, and which are refused with nothing stored."""

from __future__ import annotations

import pytest

from chatsite.errors import (
    ChatsiteError,
    ControlCharactersError,
    NoteTooLongError,
    NotRateableError,
    RatingUnknownError,
)
from chatsite.models import Message
from chatsite.services import messages, ratings
from tests.conftest import LIMITS, People
from tests.services.test_branches import start


def stored(people: People, message: Message) -> tuple[int | None, str | None]:
    """What is stored of an answer's rating."""
    generation = messages.get(people.alice, message.public_id).generation
    assert generation is not None
    return generation.rating, generation.rating_note


def test_a_rating_is_kept_changed_and_taken_back(people: People) -> None:
    answer = start(people.alice).answer
    ratings.rate(answer, 1)
    assert stored(people, answer) == (1, None)
    ratings.rate(answer, -1, "  It is not\r\nso. ")
    assert stored(people, answer) == (-1, "It is not\nso.")
    ratings.clear(answer)
    assert stored(people, answer) == (None, None)


@pytest.mark.parametrize(
    ("value", "note", "error"),
    [
        (0, "", RatingUnknownError),
        (2, "", RatingUnknownError),
        (1, "x" * 501, NoteTooLongError),
        (1, "\x07", ControlCharactersError),
    ],
)
def test_what_is_no_rating_changes_nothing(people: People, value: int, note: str, error: type[ChatsiteError]) -> None:
    answer = start(people.alice).answer
    ratings.rate(answer, 1, "Good")
    with pytest.raises(error):
        ratings.rate(answer, value, note)
    assert stored(people, answer) == (1, "Good")


def test_only_a_finished_answer_is_rated(people: People) -> None:
    turn = messages.start(people.alice, "One", "", "One", LIMITS)
    for message in (turn.question, turn.answer):
        with pytest.raises(NotRateableError):
            ratings.rate(message, 1)
