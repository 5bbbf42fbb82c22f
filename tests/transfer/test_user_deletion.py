"""Who deletes everything leaves nothing in any table, and nobody else notices; however much it is, in small steps."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import func, select

from chatsite.database import db, write_transaction
from chatsite.errors import NotFoundError
from chatsite.models import Conversation, Message, Role, Share, User
from chatsite.services.accounts import user_settings, users
from chatsite.services.chat import generation_leases, messages, temporary
from chatsite.services.organize import trash
from chatsite.services.sharing import shares
from chatsite.services.transfer import user_deletion
from tests.accounts.test_merge_users import fill
from tests.conftest import LIMITS, People


def snapshot_tables() -> dict[str, list[Any]]:
    """All rows of all tables."""
    found = {
        table.name: [tuple(row) for row in db.session.execute(select(*table.columns).order_by(*table.primary_key))]
        for table in db.metadata.sorted_tables
    }
    db.session.rollback()
    return found


def give_everything(user: User, name: str) -> None:
    """What `fill` gives, and a temporary chat, an answered question, settings of the user, and an unfinished import."""
    fill(user, name)
    user_settings.update_instructions(user, f"Instructions of {name}")
    user_settings.update_defaults(user, "scripted", "creative")
    new = messages.NewConversation("Secret", is_temporary=True)
    messages.start_conversation(user, new, messages.NewMessage("Secret", f"{name} 3"), limits=LIMITS)


def run_cleanup() -> int:
    """Run the cleanup until nothing is left to do; returns the number of steps."""
    steps = 0
    while temporary.delete_expired() or user_deletion.delete_due():
        steps += 1
        assert steps < 100
    db.session.rollback()
    return steps


def test_nothing_is_left_and_nothing_of_others_is_touched(people: People) -> None:
    give_everything(people.bob, "Bob")
    before = snapshot_tables()
    bob_id = people.bob.id
    alice_id = people.alice.id
    give_everything(people.alice, "Alice")
    user_deletion.delete_everything(people.alice)
    run_cleanup()
    alice_row = [row for row in before["user"] if row[0] == alice_id]
    assert len(alice_row) == 1
    before["user"].remove(alice_row[0])
    after = snapshot_tables()
    assert {name for name in before if before[name] != after[name]} == set()
    assert db.session.get(User, bob_id)
    assert users.find_by_token("alice-token") is None


def test_everything_is_unreachable_at_once(people: People) -> None:
    give_everything(people.alice, "Alice")
    [share] = db.session.scalars(select(Share)).all()
    token, user_id = share.public_id, people.alice.id
    running = db.session.scalars(select(Message).where(Message.role == Role.ASSISTANT)).all()
    assert any(message.is_in_progress for message in running)
    user_deletion.delete_everything(people.alice)
    with pytest.raises(NotFoundError):
        shares.read_page(token)
    assert generation_leases.claim("runner", 10, 5, max_attempts=2) == []
    row = db.session.get_one(User, user_id, populate_existing=True)
    assert (row.instructions, row.draft_text, row.default_model) == (None, None, None)
    # The same browser begins anew.
    assert users.get_or_create_by_token("alice-token").id != user_id


def test_many_messages_are_deleted_in_small_steps(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trash, "CONVERSATIONS_PER_PURGE", 3)
    for number in range(5):
        messages.start_conversation(
            people.alice,
            messages.NewConversation("Many"),
            messages.NewMessage("Many", str(number)),
            limits=LIMITS.__class__(8000, 10, 50),
        )
    user_id = people.alice.id
    user_deletion.delete_everything(people.alice)
    counts = [count_messages()]
    while user_deletion.delete_due(max_messages=4):
        counts.append(count_messages())
    assert counts[0] == 10
    assert all(0 <= earlier - later <= 4 for earlier, later in pairwise(counts))
    assert counts[-1] == 0
    assert db.session.get(User, user_id, populate_existing=True) is None


def count_messages() -> int:
    count = db.session.scalar(select(func.count()).select_from(Message)) or 0
    db.session.rollback()
    return count


def test_late_conversation_of_another_tab_goes_too(people: People) -> None:
    user_deletion.delete_everything(people.alice)
    # A request that had read the user before.
    with write_transaction() as tx:
        tx.add(Conversation(user_id=people.alice.id, title="Late"))
    run_cleanup()
    assert db.session.scalars(select(Conversation)).all() == []
    assert db.session.scalar(select(User).where(User.deleted_at.is_not(None))) is None
