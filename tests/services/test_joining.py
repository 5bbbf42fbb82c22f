"""When two identities of one person become one, nothing that either had is lost."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from chatsite.database import db, write
from chatsite.models import Conversation, Generation, Import, Persona, Share, Tag, Undo, User
from chatsite.services import accounts, conversations, messages, tags, trash, undos
from tests.conftest import LIMITS, People

OWNED: tuple[Any, ...] = (Conversation, Generation, Import, Persona, Share, Tag, Undo)


def fill(user: User, name: str) -> None:
    """One of each thing that somebody can have."""
    turn = messages.start(user, name, name, name, LIMITS)
    tags.choose(user, turn.conversation, [], "Both")
    trash.throw(user, [messages.start(user, "Thrown", f"{name} 2", "Thrown", LIMITS).conversation.public_id])
    with write() as session:
        found = session.get_one(User, user.id)
        found.draft = f"Draft of {name}"
        leaf = session.get_one(Conversation, turn.conversation.id).leaf_id
        share = {"conversation_id": turn.conversation.id, "leaf_id": leaf, "leaf_text": "", "pages": [], "title": name}
        session.add_all(
            [
                Persona(user_id=user.id, name=name, instructions="Be brief."),
                Share(user_id=user.id, **share),
                Import(user_id=user.id, name=name),
            ]
        )


def test_all_that_one_has_becomes_the_others(people: People) -> None:
    fill(people.alice, "Alice")
    fill(people.bob, "Bob")
    renamed = conversations.rename(conversations.page(people.bob).items[0], "Renamed by Bob").public_id
    before = {model: len(db.session.scalars(select(model)).all()) for model in OWNED}
    alice_id = people.alice.id
    accounts.join(people.bob, people.alice)
    for model in OWNED:
        rows = db.session.scalars(select(model)).all()
        assert len(rows) == before[model] - (1 if model is Tag else 0), model
        assert {row.user_id for row in rows} == {alice_id}
    assert len(trash.page(people.alice).items) == 2
    undos.undo(people.alice, renamed)
    assert {row.title for row in conversations.page(people.alice).items} == {"Alice", "Bob"}
    [tag] = tags.index(people.alice)
    assert len(conversations.tagged(people.alice, tag).items) == 2
    assert db.session.scalars(select(User.draft)).all() == ["Draft of Alice"]


def test_a_draft_goes_to_who_has_none(people: People) -> None:
    with write() as session:
        session.get_one(User, people.bob.id).draft = "Bob's"
    accounts.join(people.bob, people.alice)
    assert db.session.scalars(select(User.draft)).all() == ["Bob's"]
