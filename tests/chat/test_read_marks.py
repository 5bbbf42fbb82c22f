"""Read marks: an answer that took long and has just finished is told from others."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select, update

from chatsite.database import db, utcnow
from chatsite.models import Conversation, Generation
from chatsite.services.chat import read_marks
from tests.support.web_fixtures import WebClient


@pytest.mark.parametrize(
    ("took", "ago", "is_long"),
    [
        (timedelta(seconds=5), timedelta(), False),
        (read_marks.LONG - timedelta(seconds=1), timedelta(), False),
        (read_marks.LONG + timedelta(seconds=1), timedelta(), True),
        (timedelta(hours=1), read_marks.RECENT - timedelta(seconds=30), True),
        (timedelta(hours=1), read_marks.RECENT + timedelta(seconds=1), False),
    ],
)
def test_long_answer_is_marked_while_it_is_news(
    app: Flask,
    alice: WebClient,
    finish_answers: Callable[..., None],
    took: timedelta,
    ago: timedelta,
    is_long: bool,
) -> None:
    public_id = alice.start_conversation("Question")
    finish_answers("Answer.")
    with app.app_context():
        finished_at = utcnow() - ago
        db.session.execute(update(Generation).values(created_at=finished_at - took, finished_at=finished_at))
        db.session.execute(update(Conversation).values(read_at=finished_at - timedelta(seconds=1)))
        db.session.commit()
        conversation = db.session.scalars(select(Conversation)).one()
        marks = read_marks.load_marks([conversation])
        assert marks.unread == {conversation.id}
        assert marks.long == ({conversation.id} if is_long else frozenset())
        db.session.remove()
    page = alice.get("/").text
    assert public_id in page
    assert ('data-notify="ask"' in page) == is_long
    for value, is_told in (("on", is_long), ("off", False)):
        alice.send_form("POST", "/preferences", notify=value)
        assert ("data-notify" in alice.get("/").text) == is_told
