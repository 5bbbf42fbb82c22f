"""The line under an answer: what the model read, and how fast it wrote, from what is stored and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask

from chatsite.models import Generation, Message, Role
from chatsite.services.chat.generation_leases import MAX_PROMPT_MESSAGES
from chatsite.web.chat.signatures import build_signature, headline, read_turns

NOW = datetime(2026, 3, 14, tzinfo=UTC)


def make_turns(*flags: str) -> list[list[Any]]:
    """Turns of a report: kept `k`, dropped `d`, without words `e`, cut `c`."""
    return [[i, "user", 0 if flag == "e" else 5, flag in "kc", flag == "c"] for i, flag in enumerate(flags)]


def make_answer(turns: list[list[Any]], family: str = "chat", text: str = "one two three four", **run: Any) -> Message:
    """A finished answer with a report; `run` are columns of its generation."""
    values = {"token_count": 8, "tokens_per_second": 20.0, "created_at": NOW, **run}
    report = {"turns": turns, "family": family} if turns else None
    generation = Generation(prompt_report=report, **values)
    message = Message(role=Role.ASSISTANT, text=text, created_at=NOW)
    # The relationship only reads.
    message.__dict__["generation"] = generation
    return message


def words(app: Flask, message: Message) -> tuple[str, str, bool] | None:
    """What the signature says."""
    with app.test_request_context():
        found = build_signature(message)
        return (found.reading, found.speed, found.is_partial) if found else None


MANY = ["k"] * MAX_PROMPT_MESSAGES


@pytest.mark.parametrize(
    ("flags", "family", "reading", "is_partial", "title"),
    [
        ("k", "chat", "Read your message", False, "The model saw everything"),
        ("kkk", "chat", "Read all 3 messages", False, "The model saw everything"),
        ("kekk", "chat", "Read all 3 messages", False, "The model saw everything"),
        ("dkk", "chat", "Did not read the first message", True, "The model saw all but the first message"),
        ("dddedk", "chat", "Did not read the first 4 messages", True, "The model saw all but the first 4 messages"),
        ("ddc", "chat", "Read only the end of your message", True, "The model saw only the end of your last message"),
        ("ddk", "text-to-text", "Read your message", False, "The model saw only your last message"),
        # There may be more that no report tells of.
        (MANY, "chat", "Read the last 400 messages", False, "The model saw the last 400 messages"),
        (["d", *MANY[1:]], "chat", "Read the last 399 messages", True, "The model saw the last 399 messages"),
    ],
)
def test_signature_says_what_was_read(
    app: Flask, flags: str, family: str, reading: str, is_partial: bool, title: str
) -> None:
    message = make_answer(make_turns(*flags), family)
    assert words(app, message) == (reading, "10 words/s", is_partial)
    with app.test_request_context():
        turns = read_turns(message.generation)  # type: ignore[arg-type]
        assert turns
        assert headline(turns) == title


@pytest.mark.parametrize(
    ("run", "text", "speed"),
    [
        ({"tokens_per_second": None}, "one two", ""),
        ({"token_count": 0}, "one two", ""),
        ({}, "", ""),
        ({"tokens_per_second": 3.0}, "one two three four", "1.5 words/s"),
        ({"tokens_per_second": 2000.0}, "one two three four", "1,000 words/s"),
        # A text without spaces.
        ({}, "你好世界", "20 tokens/s"),
        # What was continued later was not all written at this speed.
        ({"created_at": NOW + timedelta(minutes=1)}, "one two three four", "20 tokens/s"),
    ],
)
def test_speed_is_told_where_it_was_measured(app: Flask, run: dict[str, Any], text: str, speed: str) -> None:
    found = words(app, make_answer(make_turns("k"), text=text, **run))
    assert found
    assert found[1] == speed


def test_unknown_past_has_no_signature(app: Flask) -> None:
    assert words(app, make_answer([], token_count=0)) is None
    assert words(app, make_answer([])) == ("", "10 words/s", False)
    question = Message(role=Role.USER, text="Why?", created_at=NOW)
    question.__dict__["generation"] = None
    assert words(app, question) is None
