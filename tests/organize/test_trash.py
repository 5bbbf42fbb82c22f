"""The trash: what is in it, how it is taken back, and how it goes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from chatsite.database import db, utcnow, write_transaction
from chatsite.errors import ConversationNotFoundError, NotFoundError, UndoExpiredError
from chatsite.models import Chunk, Conversation, ConversationTag, Generation, Message, Status, Undo
from chatsite.services import undo
from chatsite.services.chat import conversations, generation_leases, message_tree, messages
from chatsite.services.chat.generation_update import GenerationUpdate
from chatsite.services.chat.messages import Exchange
from chatsite.services.organize import tags, trash
from chatsite.services.pagination import EPOCH
from tests.conftest import LIMITS, People


def start(people: People, text: str = "Hi") -> Exchange:
    """A conversation of Alice's whose answer is finished."""
    turn = messages.start_conversation(
        people.alice, messages.NewConversation(text), messages.NewMessage(text, text), limits=LIMITS
    )
    for claim in generation_leases.claim("runner", 9, 5, max_attempts=2):
        news = GenerationUpdate(claim.attempts, text="Hello", new_tokens=1, status=Status.DONE, finish_reason="end")
        generation_leases.heartbeat("runner", {claim.generation_id: news}, 5)
    return turn


def count(model: type) -> int:
    """How many rows there are."""
    return db.session.scalar(select(func.count()).select_from(model)) or 0


def age(days: float) -> None:
    """Let time pass for the trash and for what can be undone."""
    with write_transaction() as session:
        for row in session.scalars(select(Conversation).where(Conversation.deleted_at.is_not(None))):
            row.deleted_at = row.deleted_at and row.deleted_at - timedelta(days=days)
        session.execute(update(Undo).values(created_at=utcnow() - timedelta(days=days)))


def test_trashed_conversation_is_hidden_until_restored(people: People) -> None:
    turn = start(people)
    name, answer = turn.conversation.public_id, turn.answer.public_id
    trash.move_to_trash(people.alice, [name])
    assert conversations.find(people.alice, name) is None
    assert not conversations.list_page(people.alice).items
    with pytest.raises(NotFoundError):
        messages.get(people.alice, answer)
    assert [row.title for row in trash.list_page(people.alice).items] == ["Hi"]
    assert not trash.list_page(people.bob).items
    trash.restore(people.alice, [name])
    assert messages.get(people.alice, answer).text == "Hello"
    assert not trash.list_page(people.alice).items


def test_trash_lists_most_recently_deleted_first(people: People) -> None:
    for text in ("One", "Two", "Three"):
        start(people, text)
    for row in list(conversations.list_page(people.alice).items)[::-1]:
        trash.move_to_trash(people.alice, [row.public_id])
    first = trash.list_page(people.alice, size=2)
    rest = trash.list_page(people.alice, first.next, size=2)
    assert [row.title for row in (*first.items, *rest.items)] == ["Three", "Two", "One"]
    assert rest.next is None


def test_trashing_stops_running_answers(people: People) -> None:
    waits = messages.start_conversation(
        people.alice, messages.NewConversation("Waits"), messages.NewMessage("Waits", "1"), limits=LIMITS
    )
    writes = messages.start_conversation(
        people.alice, messages.NewConversation("Writes"), messages.NewMessage("Writes", "2"), limits=LIMITS
    )
    stays = messages.start_conversation(
        people.alice, messages.NewConversation("Stays"), messages.NewMessage("Stays", "3"), limits=LIMITS
    )
    # The runner takes one of them, and the others wait.
    [claim] = generation_leases.claim("runner", 1, 5, max_attempts=2)
    generation_leases.heartbeat("runner", {claim.generation_id: GenerationUpdate(1, text="Half", new_tokens=1)}, 5)
    trash.move_to_trash(people.alice, [waits.conversation.public_id, writes.conversation.public_id])
    found = {row.conversation.title: row for row in db.session.scalars(select(Message)) if row.generation}
    assert [found[title].status for title in ("Waits", "Writes")] == [Status.STOPPED] * 2
    assert {row.text for row in found.values()} == {"Half", ""}
    assert generation_leases.heartbeat(
        "runner", {claim.generation_id: GenerationUpdate(1, text=" lost", new_tokens=1)}, 5
    )
    kept = db.session.get_one(Message, stays.answer.id).generation
    assert kept
    assert kept.is_in_progress
    assert not kept.cancel_requested


def test_permanently_deleted_conversation_cannot_be_restored_or_undone(people: People) -> None:
    turn = start(people)
    name = turn.conversation.public_id
    renamed = conversations.rename(turn.conversation, "A title that must go").public_id
    thrown = trash.move_to_trash(people.alice, [name])
    trash.delete_forever(people.alice, [name])
    for model in (Conversation, Message, Generation, Chunk):
        assert count(model) == 0
    with pytest.raises(UndoExpiredError):
        undo.undo_change(people.alice, thrown.public_id)
    # Not even its title is left.
    with pytest.raises(NotFoundError):
        undo.undo_change(people.alice, renamed)


def test_long_conversation_is_hidden_then_deleted_in_batches(people: People) -> None:
    turn = start(people)
    with write_transaction() as tx:
        above: int | None = turn.answer.id
        for number in range(40):
            above = message_tree.add_message(tx, turn.conversation, above, role="user", text=str(number)).id
    name = turn.conversation.public_id
    thrown = trash.move_to_trash(people.alice, [name])
    with write_transaction() as session:
        session.execute(update(Conversation).values(deleted_at=EPOCH))
    assert trash.purge_due(max_messages=10)
    assert count(Message) == 32
    assert not trash.list_page(people.alice).items
    for act in (trash.restore, trash.delete_forever):
        with pytest.raises(ConversationNotFoundError):
            act(people.alice, [name])
    with pytest.raises(UndoExpiredError):
        undo.undo_change(people.alice, thrown.public_id)
    while trash.purge_due(max_messages=10):
        pass
    assert count(Conversation) == count(Message) == 0


def test_empty_trash_deletes_only_own_trash(people: People) -> None:
    start(people)
    trash.move_to_trash(people.alice, [row.public_id for row in conversations.list_page(people.alice).items])
    messages.start_conversation(
        people.bob, messages.NewConversation("Bob"), messages.NewMessage("Bob", "b"), limits=LIMITS
    )
    trash.move_to_trash(people.bob, [row.public_id for row in conversations.list_page(people.bob).items])
    listed = start(people, "Listed")
    trash.empty(people.alice)
    assert not trash.list_page(people.alice).items
    assert len(trash.list_page(people.bob).items) == 1
    assert conversations.get(people.alice, listed.conversation.public_id)
    name = trash.list_page(people.bob).items[0].public_id
    for act in (trash.restore, trash.delete_forever):
        with pytest.raises(ConversationNotFoundError):
            act(people.alice, [name])


def test_cleanup_deletes_trash_after_thirty_days(people: People) -> None:
    for text in ("Old", "Young", "Listed"):
        start(people, text)
    rows = {row.title: row.public_id for row in conversations.list_page(people.alice).items}
    thrown = trash.move_to_trash(people.alice, [rows["Old"]]).public_id
    age(31)
    trash.move_to_trash(people.alice, [rows["Young"]])
    age(0)
    assert [row.title for row in trash.list_page(people.alice).items] == ["Young"]
    assert not trash.purge_due()
    assert not undo.purge_old()
    assert {row.title for row in db.session.scalars(select(Conversation))} == {"Young", "Listed"}
    age(2)
    undo.purge_old()
    assert count(Undo) == 0
    with pytest.raises(NotFoundError):
        undo.undo_change(people.alice, thrown)


def test_deleting_conversation_removes_tag_links(people: People) -> None:
    turn = start(people)
    tags.set_tags(people.alice, turn.conversation, [], new_name="Work")
    trash.move_to_trash(people.alice, [turn.conversation.public_id])
    trash.empty(people.alice)
    assert count(ConversationTag) == 0
    assert [tag.name for tag in tags.list_for(people.alice)] == ["Work"]
