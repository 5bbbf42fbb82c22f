"""Users who have nothing are forgotten after a while; their cookie then means a new visitor."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select, update

from chatsite.database import db, utcnow, write_transaction
from chatsite.models import Import, Persona, Tag, Undo, User
from chatsite.services.accounts import unused_users, users
from chatsite.services.accounts.unused_users import UnusedUserCleanup
from chatsite.services.chat import drafts, messages
from tests.conftest import LIMITS
from tests.support.web_fixtures import WebClient

OWNED: dict[str, Callable[[User], object]] = {
    "conversation": lambda user: messages.start_conversation(
        user, messages.NewConversation("a"), messages.NewMessage("a"), limits=LIMITS
    ),
    "tag": lambda user: add(Tag(user_id=user.id, name="a", normalized_name="a", color="red")),
    "persona": lambda user: add(Persona(user_id=user.id, name="a", instructions="", generation_options={})),
    "import": lambda user: add(Import(user_id=user.id, name="a")),
    "undo": lambda user: add(Undo(user_id=user.id, action="rename", previous=[])),
    "draft": lambda user: drafts.save(user, "a", "", idempotency_key="", max_message_chars=100),
}


def add(row: object) -> None:
    with write_transaction() as tx:
        tx.add(row)


def make_old(age: timedelta = unused_users.RETENTION + timedelta(hours=1)) -> None:
    with write_transaction() as tx:
        tx.execute(update(User).values(created_at=utcnow() - age))


def list_tokens(*tokens: str) -> list[str]:
    """Which of these still mean somebody."""
    return [token for token in tokens if users.find_by_token(token)]


def test_only_who_has_nothing_is_forgotten(any_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unused_users, "USERS_PER_STEP", 3)
    with any_app.app_context():
        for name, give in OWNED.items():
            give(users.get_or_create_by_token(name))
            users.get_or_create_by_token(f"without {name}")
        make_old()
        users.get_or_create_by_token("young")
        cleanup = UnusedUserCleanup()
        for _ in range(5):
            cleanup()
        everybody = [*OWNED, *(f"without {name}" for name in OWNED), "young"]
        assert list_tokens(*everybody) == [*OWNED, "young"]
        # The walk begins again: who became old meanwhile is found.
        make_old()
        for _ in range(5):
            cleanup()
        assert list_tokens(*everybody) == [*OWNED]
        db.session.remove()


def test_forgotten_user_is_a_new_visitor(app: Flask, alice: WebClient, finish_answers: Callable[..., None]) -> None:
    conversation = alice.start_conversation("Hello")
    finish_answers()
    alice.send_form("DELETE", f"/conversations/{conversation}")
    alice.send_form("DELETE", "/trash")
    with app.app_context():
        db.session.execute(update(User).values(created_at=utcnow() - timedelta(days=60)))
        db.session.execute(db.delete(Undo))
        db.session.commit()
        first_id = db.session.scalar(select(User.id))
        UnusedUserCleanup()()
        assert db.session.scalar(select(User.id)) is None
        db.session.remove()
    assert first_id
    assert alice.get("/").status_code == 200
    assert alice.start_conversation("Hello again")
