"""Shares: what a visitor reads, and what they never get, whatever the owner does afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import event, func, insert, select, update

from chatsite.database import db, now, write
from chatsite.errors import (
    ConversationGoneError,
    LifetimeUnknownError,
    NotFoundError,
    NothingToShareError,
    ShareRunningError,
    ShareTooLongError,
    TemporaryChatError,
)
from chatsite.models import Conversation, Generation, Message, Role, Share, Status, User
from chatsite.services import branches, claims, conversations, generations, messages, shares, trash, windows
from tests.conftest import LIMITS, People


def answer(text: str, status: Status = Status.DONE) -> None:
    """Have the oldest waiting question answered."""
    [claim] = claims.claim("runner", 1, 5, 2)
    receipt = {"turns": [[0, "user", 1, True, False]], "budget": 9, "used": 1}
    done = claims.Written(claim.attempt, text=text, tokens=2, receipt=receipt, status=status, reason="end")
    claims.record("runner", {claim.generation_id: done}, 5)


def talk(user: User, *texts: str) -> Conversation:
    """A conversation of these questions, each answered with "Answer to …"."""
    turn = messages.start(user, texts[0], "", texts[0], LIMITS)
    answer(f"Answer to {texts[0]}")
    for text in texts[1:]:
        messages.post(user, turn.conversation, text, "", LIMITS)
        answer(f"Answer to {text}")
    return turn.conversation


@contextmanager
def asked() -> Iterator[list[str]]:
    """Collects the statements that the database gets."""
    found: list[str] = []

    def hear(connection, cursor, statement, parameters, context, many) -> None:  # type: ignore[no-untyped-def]
        found.extend([statement] if statement != "BEGIN" else [])

    event.listen(db.engine, "before_cursor_execute", hear)
    try:
        yield found
    finally:
        event.remove(db.engine, "before_cursor_execute", hear)


def long_talk(user: User, length: int) -> Conversation:
    """A conversation of so many messages, stored at once."""
    with write() as session:
        made = Conversation(user_id=user.id, title="Long")
        session.add(made)
        session.flush()
        first = (session.scalar(select(func.max(Message.id))) or 0) + 1
        rows = [
            {
                "id": first + place,
                "public_id": f"long{first + place}",
                "conversation_id": made.id,
                "parent_id": first + place - 1 if place else None,
                "role": Role.ASSISTANT if place % 2 else Role.USER,
                "text": f"Message {place}",
                "shown": True,
            }
            for place in range(length)
        ]
        for start in range(0, length, 1000):
            session.execute(insert(Message), rows[start : start + 1000])
        made.leaf_id = first + length - 1 if length else None
        return made


def texts(share: Share, number: int = 1) -> list[str]:
    """What a visitor reads."""
    return [line.text for line in shares.read(share.public_id, number).lines]


def test_a_visitor_reads_the_branch_that_was_shown(people: People) -> None:
    conversation = talk(people.alice, "One", "Two")
    share = shares.create(conversation)
    reading = shares.read(share.public_id)
    assert [line.role.value for line in reading.lines] == ["user", "assistant"] * 2
    assert [line.text for line in reading.lines] == ["One", "Answer to One", "Two", "Answer to Two"]
    assert (reading.title, reading.number, reading.count) == ("One", 1, 1)
    assert len(share.public_id) == 32


def test_what_comes_later_does_not_appear_until_the_share_is_updated(people: People) -> None:
    """Neither new messages, nor other branches, nor what became of the last answer, nor another title."""
    conversation = talk(people.alice, "One")
    turn = messages.post(people.alice, conversation, "Two", "", LIMITS)
    answer("Half", Status.STOPPED)
    share = shares.create(conversation)
    before = texts(share)
    assert before == ["One", "Answer to One", "Two", "Half"]
    generations.repeat(messages.get(people.alice, turn.answer.public_id), keep_text=True, limits=LIMITS)
    assert texts(share) == before
    answer(" and whole")
    question = messages.get(people.alice, turn.question.public_id)
    messages.edit(people.alice, question, "Two, otherwise", "", LIMITS)
    answer("Another branch")
    conversations.rename(conversation, "Renamed")
    assert texts(share) == before
    assert shares.read(share.public_id).title == "One"
    share = shares.renew(share)
    assert texts(share) == ["One", "Answer to One", "Two, otherwise", "Another branch"]
    assert shares.read(share.public_id).title == "Renamed"
    branches.show(question)
    assert texts(shares.renew(share))[-1] == "Half and whole"


def test_a_share_can_end_at_a_message(people: People) -> None:
    conversation = talk(people.alice, "One", "Two")
    second = windows.until(conversation).messages[1]
    assert texts(shares.create(conversation, leaf=second)) == ["One", "Answer to One"]


def test_the_model_that_wrote_the_last_answer_stays_named(people: People) -> None:
    conversation = talk(people.alice, "One")
    with write() as session:
        session.execute(update(Generation).values(model="gpt2"))
    share = shares.create(conversation)
    with write() as session:
        session.execute(update(Generation).values(model="other"))
    assert [line.model for line in shares.read(share.public_id).lines] == [None, "gpt2"]


def test_nothing_is_shared_while_it_is_being_written(people: People) -> None:
    turn = messages.start(people.alice, "One", "", "One", LIMITS)
    with pytest.raises(ShareRunningError):
        shares.create(turn.conversation)
    question = messages.get(people.alice, turn.question.public_id)
    assert texts(shares.create(turn.conversation, leaf=question)) == ["One"]
    answer("", Status.FAILED)
    assert texts(shares.create(turn.conversation)) == ["One"]
    with pytest.raises(NothingToShareError):
        shares.create(long_talk(people.alice, 0))


def test_a_share_ends_at_its_time_when_it_is_revoked_and_with_its_conversation(people: People) -> None:
    conversation = talk(people.alice, "One")
    share = shares.create(conversation, "day")
    name = share.public_id
    assert share.expires_at
    assert timedelta(hours=23) < share.expires_at - now() <= timedelta(days=1)
    with write():
        share.expires_at = now()
    with pytest.raises(NotFoundError):
        shares.read(share.public_id)
    with pytest.raises(LifetimeUnknownError):
        shares.extend(share, "forever")
    assert texts(shares.extend(share, "never"))
    undo = trash.throw(people.alice, [conversation.public_id])
    assert undo.public_id
    for gone in (lambda: shares.read(share.public_id), lambda: shares.get(people.alice, share.public_id)):
        with pytest.raises(NotFoundError):
            gone()
    assert not shares.page(people.alice).items
    trash.restore(people.alice, [conversation.public_id])
    assert texts(share)
    shares.revoke(share)
    with pytest.raises(NotFoundError):
        shares.read(name)
    assert db.session.scalar(select(func.count()).select_from(Share)) == 0


def test_only_the_owner_shares_and_changes_a_share(people: People) -> None:
    conversation = talk(people.alice, "One")
    share = shares.create(conversation)
    for user in (people.bob, None):
        with pytest.raises(NotFoundError):
            shares.get(user, share.public_id)
    assert not shares.page(people.bob).items
    stolen = Conversation(id=conversation.id, user_id=people.bob.id, public_id="x")
    with pytest.raises(ConversationGoneError):
        shares.create(stolen)
    with pytest.raises(NotFoundError):
        shares.create(talk(people.bob, "Mine"), leaf=windows.until(conversation).messages[1])


def test_a_temporary_conversation_is_not_shared(people: People) -> None:
    turn = messages.start(people.alice, "One", "", "One", LIMITS, temporary=True)
    answer("Answer")
    with pytest.raises(TemporaryChatError):
        shares.create(turn.conversation)


@pytest.mark.parametrize("length", [1, 59, 60, 61, 120, 150])
def test_pages_hold_every_message_once(people: People, length: int) -> None:
    share = shares.create(long_talk(people.alice, length))
    count = shares.read(share.public_id).count
    found = [text for number in range(1, count + 1) for text in texts(share, number)]
    assert found == [f"Message {place}" for place in range(length)]
    for number in (0, count + 1, -1):
        with pytest.raises(NotFoundError):
            shares.read(share.public_id, number)


def test_a_page_costs_the_same_however_long_the_branch_is(people: People) -> None:
    """Counted in messages and statements."""
    costs, alice = [], people.alice
    for length in (130, 10_000):
        name = shares.create(long_talk(db.session.merge(alice), length)).public_id
        db.session.remove()
        with asked() as found:
            page = shares.read(name, 2)
        costs.append((len(page.lines), len(found)))
    assert costs[0] == costs[1] == (60, 3)


def test_the_list_is_paged(people: People) -> None:
    one, other = talk(people.alice, "One"), talk(people.alice, "Other")
    made = [shares.create(conversation).public_id for conversation in (one, other, one)]
    first = shares.page(people.alice, size=2)
    rest = shares.page(people.alice, before=first.next, size=2)
    assert [share.public_id for share in [*first.items, *rest.items]] == made[::-1]
    assert rest.next is None
    assert [share.public_id for share in shares.page(people.alice, conversation=other).items] == [made[1]]


def test_a_copy_is_the_visitors_own_and_knows_nothing_else(people: People) -> None:
    conversation = talk(people.alice, "One")
    turn = messages.post(people.alice, conversation, "Two", "", LIMITS)
    answer("Half", Status.STOPPED)
    with write():
        conversation.draft, conversation.instructions, conversation.persona = "SECRET", "SECRET", "SECRET"
        conversation.preset = "creative"
    share = shares.create(conversation)
    # An answer that is being gone on with is no work for the copy's owner.
    generations.repeat(messages.get(people.alice, turn.answer.public_id), keep_text=True, limits=LIMITS)
    made = shares.copy(people.bob, share.public_id, "form")
    assert shares.copy(people.bob, share.public_id, "form").id == made.id
    copied = windows.until(made).messages
    assert [message.text for message in copied] == ["One", "Answer to One", "Two", "Half"]
    assert [message.status for message in copied] == [Status.DONE] * 4
    assert not generations.is_running(made.id)
    assert (made.user_id, made.title, made.draft) == (people.bob.id, "One", None)
    assert (made.instructions, made.persona, made.numbers, made.preset) == (None, None, None, None)
    for message in copied:
        if message.generation:
            assert message.generation.user_id == people.bob.id
            assert (message.generation.receipt, message.generation.rating, message.generation.error) == (None,) * 3
    assert not {message.public_id for message in copied} & set(
        db.session.scalars(select(Message.public_id).where(Message.conversation_id == conversation.id))
    )
    messages.post(people.bob, made, "Mine", "", LIMITS)
    shares.revoke(share)
    assert conversations.get(people.bob, made.public_id).title == "One"
    assert texts(shares.create(made, leaf=copied[-1]))[-1] == "Half"


def test_a_copy_of_something_endless_is_refused(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    share = shares.create(long_talk(people.alice, 61))
    monkeypatch.setattr(shares, "MOST_COPIED_PAGES", 1)
    with pytest.raises(ShareTooLongError):
        shares.copy(people.bob, share.public_id)
    with pytest.raises(NotFoundError):
        shares.copy(people.bob, "x" * 32)
