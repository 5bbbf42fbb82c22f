"""The tree: what is shown, what the model is told of it, and that depth and width cost nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import func, insert, select, text

from chatsite.database import db
from chatsite.errors import AnswerRunningError, NotFoundError, TemporaryChatError
from chatsite.models import Conversation, Generation, Message, Role, Status, User
from chatsite.services import accounts, branches, claims, conversations, messages, receipts, windows
from chatsite.services.messages import Turn
from tests.conftest import LIMITS, People

DEPTH = 10_000
WIDTH = 1_000


def told() -> list[str]:
    """What the model is told for the one answer that waits, which is finished then."""
    [claim] = claims.claim("runner", 1, 5, 2)
    done = claims.Written(claim.attempt, text="Answer.", tokens=2, status=Status.DONE, reason="end")
    claims.record("runner", {claim.generation_id: done}, 5)
    return [turn.text for turn in claim.turns]


def start(user: User, question: str = "One") -> Turn:
    """Begin a conversation and have it answered."""
    turn = messages.start(user, question, "", question, LIMITS)
    told()
    return turn


def ask(user: User, turn: Turn, question: str, after: str | None = None) -> Turn:
    """Ask the next question and have it answered."""
    made = messages.post(user, turn.conversation, question, "", LIMITS, after=after)
    told()
    return made


def edit(user: User, turn: Turn, words: str) -> Turn:
    """Ask a question in other words and have it answered."""
    made = messages.edit(user, turn.question, words, "", LIMITS)
    told()
    return made


def shown(conversation: Conversation) -> list[str]:
    """The questions on the branch that is shown."""
    return [message.text for message in windows.until(conversation).messages if message.role is Role.USER]


def grow(user: User, depth: int, width: int = 0) -> Conversation:
    """A conversation so deep; its first and its last message have `width` versions more between them."""
    conversation = Conversation(user_id=user.id, title="Long")
    db.session.add(conversation)
    db.session.flush()
    first = (db.session.scalar(select(func.max(Message.id))) or 0) + 1
    every = {"conversation_id": conversation.id, "text": "Word"}
    way = [
        {**every, "id": first + n, "parent_id": first + n - 1 if n else None, "role": list(Role)[n % 2], "shown": True}
        for n in range(depth)
    ]
    ends = [(None, Role.USER), (first + depth - 2, Role.ASSISTANT)]
    beside = [
        {**every, "id": first + depth + n, "parent_id": ends[n % 2][0], "role": ends[n % 2][1], "shown": False}
        for n in range(width)
    ]
    db.session.execute(insert(Message), way + beside)
    if db.engine.dialect.name == "postgresql":
        # It counts by itself only where it gives the numbers.
        db.session.execute(text("SELECT setval(pg_get_serial_sequence('message', 'id'), max(id)) FROM message"))
    conversation.leaf_id = first + depth - 1
    db.session.commit()
    return conversation


def test_the_prompt_follows_the_branch_that_is_shown(people: People) -> None:
    alice = people.alice
    first = start(alice)
    second = ask(alice, first, "Two")
    messages.edit(alice, first.question, "Uno", "", LIMITS)
    assert told() == ["Uno"]
    messages.post(alice, first.conversation, "Dos", "", LIMITS)
    assert told() == ["Uno", "Answer.", "Dos"]
    branches.show(second.question)
    messages.post(alice, first.conversation, "Three", "", LIMITS)
    assert told() == ["One", "Answer.", "Two", "Answer.", "Three"]
    messages.answer_again(alice, second.answer, LIMITS)
    assert told() == ["One", "Answer.", "Two"]
    assert shown(first.conversation) == ["One", "Two"]


def test_a_version_remembers_how_it_was_left(people: People) -> None:
    first = start(people.alice)
    edit(people.alice, ask(people.alice, first, "Two"), "Second")
    other = edit(people.alice, first, "Uno")
    assert shown(first.conversation) == ["Uno"]
    assert shown(branches.show(first.question)) == ["One", "Second"]
    assert shown(branches.show(other.question)) == ["Uno"]


def test_versions_know_their_places(people: People) -> None:
    first = start(people.alice)
    second, third = edit(people.alice, first, "Uno"), edit(people.alice, first, "Un")
    versions = [first.question, second.question, third.question]
    found = branches.places([*versions, first.answer])
    assert first.answer.id not in found
    assert [(found[each.id].number, found[each.id].count) for each in versions] == [(1, 3), (2, 3), (3, 3)]
    names = [None, *(each.public_id for each in versions), None]
    assert [found[each.id].previous for each in versions] == names[:3]
    assert [found[each.id].next for each in versions] == names[2:]


def test_first_messages_of_other_conversations_are_no_versions(people: People) -> None:
    first, other = start(people.alice), start(people.alice, "Other")
    assert branches.places([first.question, other.question]) == {}


def test_a_post_from_a_stale_tab_follows_what_that_tab_shows(people: People) -> None:
    alice = people.alice
    first = start(alice)
    edit(alice, first, "Uno")
    after = first.answer.public_id
    assert windows.since(first.conversation, after) == []
    made = ask(alice, first, "Two", after=after)
    assert made.question.parent_id == first.answer.id
    assert shown(first.conversation) == ["One", "Two"]
    assert [row.id for row in windows.since(first.conversation, after)] == [made.question.id, made.answer.id]


def test_a_switch_while_an_answer_is_written_loses_nothing(people: People) -> None:
    alice = people.alice
    first = start(alice)
    edited = messages.edit(alice, first.question, "Uno", "", LIMITS)
    branches.show(first.question)
    for change in (
        lambda: messages.post(alice, first.conversation, "Two", "", LIMITS),
        lambda: messages.edit(alice, first.question, "Un", "", LIMITS),
        lambda: messages.answer_again(alice, first.answer, LIMITS),
        lambda: branches.fork(alice, edited.answer),
    ):
        with pytest.raises(AnswerRunningError):
            change()
    assert told() == ["Uno"]
    assert messages.get(alice, edited.answer.public_id).text == "Answer."
    assert shown(first.conversation) == ["One"]
    assert db.session.scalar(select(func.count()).select_from(Message)) == 4


def test_what_cannot_be_edited_or_answered_is_not_found(people: People) -> None:
    turn = start(people.alice)
    with pytest.raises(NotFoundError):
        messages.edit(people.alice, turn.answer, "Uno", "", LIMITS)
    with pytest.raises(NotFoundError):
        messages.answer_again(people.alice, turn.question, LIMITS)


def test_a_fork_ends_with_its_message_and_lives_on_its_own(people: People) -> None:
    alice = people.alice
    first = start(alice)
    second = ask(alice, first, "Two")
    ask(alice, first, "Three")
    edit(alice, second, "Second")
    made = branches.fork(alice, messages.get(alice, second.answer.public_id))
    assert shown(made) == ["One", "Two"]
    assert [row.status for row in windows.until(made).messages] == [Status.DONE] * 4
    messages.post(alice, made, "Four", "", LIMITS)
    assert told() == ["One", "Answer.", "Two", "Answer.", "Four"]
    assert shown(first.conversation) == ["One", "Second"]
    conversations.get(alice, made.public_id)


def test_a_temporary_chat_cannot_be_forked(people: People) -> None:
    turn = start(people.alice)
    turn.conversation.expires_at = turn.conversation.created_at.replace(year=9000)
    db.session.commit()
    with pytest.raises(TemporaryChatError):
        branches.fork(people.alice, messages.get(people.alice, turn.answer.public_id))


def test_the_first_message_since_a_moment_is_on_the_shown_branch(people: People) -> None:
    first = start(people.alice)
    second = ask(people.alice, first, "Two")
    edited = edit(people.alice, second, "Second")
    moment = second.question.created_at
    assert branches.first_since(first.conversation, moment) == edited.question.id
    assert branches.first_since(first.conversation, first.question.created_at) == first.question.id
    assert branches.first_since(first.conversation, edited.answer.created_at.replace(year=9000)) is None


def test_a_deep_and_wide_conversation_is_used_as_any_other(people: People) -> None:
    alice = people.alice
    deep = grow(alice, DEPTH, WIDTH)
    last = windows.until(deep).messages[-1]
    place = branches.places([last])[last.id]
    assert (place.number, place.count) == (1, WIDTH // 2 + 1)
    assert place.next is not None
    branches.show(messages.get(alice, place.next))
    question = messages.get(alice, last.public_id).parent_id
    assert branches.tip(branches.root(deep) or 0) != last.id
    assert question == windows.until(deep).messages[-2].id
    messages.post(alice, deep, "More", "", LIMITS)
    assert len(told()) == claims.MOST_TURNS
    first = messages.by_id(branches.root(deep) or 0)
    assert branches.show(messages.get(alice, branches.places([first])[first.id].next or "")).leaf_id != deep.id
    assert len(windows.until(deep).messages) == 1
    assert len(branches.ancestors(last.id)) == DEPTH


def test_a_deep_conversation_can_be_deleted(people: People) -> None:
    deep = grow(people.alice, DEPTH, WIDTH)
    conversations.destroy(deep)
    db.session.execute(db.delete(Conversation))
    db.session.commit()
    for model in (Conversation, Message, Generation):
        assert db.session.scalar(select(func.count()).select_from(model)) == 0


def work(act: Callable[[], object]) -> int:
    """How many hundreds of its own steps SQLite makes for something, whatever else the machine is doing."""
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection = db.session.connection().connection.driver_connection
    connection.set_progress_handler(step, 100)
    try:
        act()
    finally:
        connection.set_progress_handler(None, 0)
    return steps


@pytest.mark.parametrize(
    "act",
    [
        lambda talk: windows.until(talk),
        lambda talk: branches.places(windows.until(talk).messages),
        lambda talk: windows.until(talk, windows.until(talk).messages[0].public_id),
        lambda talk: windows.after(talk, messages.by_id(branches.root(talk)).public_id),
        lambda talk: windows.around(talk, branches.ancestors(talk.leaf_id, 50)[-1]),
        lambda talk: receipts.outlook(talk),
        lambda talk: branches.root(talk),
    ],
    ids=["end", "places", "before", "after", "around", "outlook", "root"],
)
def test_reading_a_long_conversation_is_as_much_work_as_a_short_one(app: Flask, act: Callable[..., object]) -> None:
    with app.app_context():
        alice = accounts.find_or_create("alice")
        short, long = grow(alice, 500), grow(alice, DEPTH)
        act(short)
        few, many = work(lambda: act(short)), work(lambda: act(long))
        assert few > 0 or many <= 1
        assert many <= 1.2 * few + 2, (few, many)
        db.session.remove()
