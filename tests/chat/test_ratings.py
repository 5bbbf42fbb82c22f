"""Ratings: which are kept, and which are refused with nothing stored."""

from __future__ import annotations

import pytest

from chatsite.errors import (
    CannotRateError,
    ChatsiteError,
    InvalidRatingError,
    RatingNoteTooLongError,
)
from chatsite.models import Message
from chatsite.services.chat import messages, ratings
from tests.chat.test_message_tree import start
from tests.conftest import LIMITS, People


def stored(people: People, message: Message) -> tuple[int | None, str | None]:
    """What is stored of an answer's rating."""
    generation = messages.get(people.alice, message.public_id).generation
    assert generation is not None
    return generation.rating, generation.rating_note


def test_rating_can_be_set_changed_and_cleared(people: People) -> None:
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
        (0, "", InvalidRatingError),
        (2, "", InvalidRatingError),
        (1, "x" * 501, RatingNoteTooLongError),
    ],
)
def test_invalid_rating_changes_nothing(people: People, value: int, note: str, error: type[ChatsiteError]) -> None:
    answer = start(people.alice).answer
    ratings.rate(answer, 1, "Good")
    with pytest.raises(error):
        ratings.rate(answer, value, note)
    assert stored(people, answer) == (1, "Good")


def test_only_finished_answer_can_be_rated(people: People) -> None:
    turn = messages.start_conversation(
        people.alice, messages.NewConversation("One"), messages.NewMessage("One"), limits=LIMITS
    )
    for message in (turn.question, turn.answer):
        with pytest.raises(CannotRateError):
            ratings.rate(message, 1)
