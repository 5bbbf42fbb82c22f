"""When two identities of one person become one, nothing that either had is lost."""

from __future__ import annotations

from typing import Any

from flask import Flask
from sqlalchemy import Index, UniqueConstraint, inspect, select

from chatsite.database import db, write_transaction
from chatsite.models import Conversation, Generation, Import, Persona, Share, Tag, Undo, User
from chatsite.services import undo
from chatsite.services.chat import conversations, messages
from chatsite.services.organize import tags, trash
from chatsite.services.transfer import user_merge
from tests.conftest import LIMITS, People

OWNED: tuple[Any, ...] = (Conversation, Generation, Import, Persona, Share, Tag, Undo)


def fill(user: User, name: str) -> None:
    """One of each thing that somebody can have."""
    turn = messages.start_conversation(
        user, messages.NewConversation(name), messages.NewMessage(name, name), limits=LIMITS
    )
    tags.set_tags(user, turn.conversation, [], new_name="Both")
    trash.move_to_trash(
        user,
        [
            messages.start_conversation(
                user, messages.NewConversation("Thrown"), messages.NewMessage("Thrown", f"{name} 2"), limits=LIMITS
            ).conversation.public_id
        ],
    )
    with write_transaction() as session:
        found = session.get_one(User, user.id)
        found.draft_text = f"Draft of {name}"
        leaf = session.get_one(Conversation, turn.conversation.id).active_leaf_id
        share: dict[str, Any] = {
            "conversation_id": turn.conversation.id,
            "leaf_id": leaf,
            "leaf_text": "",
            "page_end_ids": [],
            "title": name,
        }
        session.add_all(
            [
                Persona(user_id=user.id, name=name, instructions="Be brief."),
                Share(user_id=user.id, **share),
                Import(user_id=user.id, name=name),
            ]
        )


def test_merge_moves_all_owned_rows(people: People) -> None:
    fill(people.alice, "Alice")
    fill(people.bob, "Bob")
    renamed = conversations.rename(conversations.list_page(people.bob).items[0], "Renamed by Bob").public_id
    before = {model: len(db.session.scalars(select(model)).all()) for model in OWNED}
    alice_id = people.alice.id
    user_merge.merge_users(people.bob, people.alice)
    for model in OWNED:
        rows = db.session.scalars(select(model)).all()
        assert len(rows) == before[model] - (1 if model is Tag else 0), model
        assert {row.user_id for row in rows} == {alice_id}
    assert len(trash.list_page(people.alice).items) == 2
    undo.undo_change(people.alice, renamed)
    assert {row.title for row in conversations.list_page(people.alice).items} == {"Alice", "Bob"}
    [tag] = tags.list_for(people.alice)
    assert len(conversations.list_tagged(people.alice, tag).items) == 2
    assert db.session.scalars(select(User.draft_text)).all() == ["Draft of Alice"]


# How both users come to have the same value, for each rule that something is unique for a user.
SHARED_VALUES: dict[tuple[str, ...], Any] = {
    ("conversation", "idempotency_key"): lambda user: Conversation(user_id=user.id, title="T", idempotency_key="same"),
    ("conversation", "import_source_id"): lambda user: Conversation(user_id=user.id, title="T", import_source_id="a:1"),
    ("tag", "normalized_name"): lambda user: Tag(user_id=user.id, name="T", normalized_name="t", color="teal"),
}


def test_merge_takes_values_that_both_users_have(people: People) -> None:
    with write_transaction() as session:
        session.add_all([make(user) for make in SHARED_VALUES.values() for user in (people.alice, people.bob)])
    user_merge.merge_users(people.bob, people.alice)
    rows: list[Any] = [row for model in (Conversation, Tag) for row in db.session.scalars(select(model))]
    assert {row.user_id for row in rows} == {people.alice.id}
    assert len(rows) == 5
    keys = [row.idempotency_key for row in rows if isinstance(row, Conversation)]
    assert keys.count("same") == 1


def test_every_rule_of_uniqueness_for_a_user_is_tested_above(app: Flask) -> None:
    unique: set[tuple[str, ...]] = set()
    for table in db.metadata.sorted_tables:
        rules: list[UniqueConstraint | Index] = [index for index in table.indexes if index.unique]
        rules += [rule for rule in table.constraints if isinstance(rule, UniqueConstraint)]
        for rule in rules:
            columns = [column.name for column in rule.columns]
            if "user_id" in columns:
                unique.add((table.name, *(name for name in columns if name != "user_id")))
    assert unique == set(SHARED_VALUES)
    assert {inspect(model).local_table.name for model in OWNED} == {
        table.name for table in db.metadata.sorted_tables if "user_id" in table.columns
    }


def test_merge_moves_draft_only_into_empty_draft(people: People) -> None:
    with write_transaction() as session:
        session.get_one(User, people.bob.id).draft_text = "Bob's"
    user_merge.merge_users(people.bob, people.alice)
    assert db.session.scalars(select(User.draft_text)).all() == ["Bob's"]
