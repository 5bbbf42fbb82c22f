"""The tree: what is shown, what the model is told of it, and that depth and width cost nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, insert, select, text

from chatsite.database import db
from chatsite.errors import AnswerRunningError, NotFoundError, TemporaryChatError
from chatsite.models import Conversation, Generation, Message, Role, Status, User
from chatsite.services.accounts import users
from chatsite.services.chat import (
    branch_copies,
    conversations,
    generation_leases,
    message_pages,
    message_tree,
    messages,
    prompt_report,
)
from chatsite.services.chat.generation_update import GenerationUpdate
from chatsite.services.chat.messages import Exchange
from tests.conftest import LIMITS, People
from tests.support.deleting import destroy

DEPTH = 10_000
WIDTH = 1_000


def told() -> list[str]:
    """What the model is told for the one answer that waits, which is finished then."""
    [claim] = generation_leases.claim("runner", 1, 5, max_attempts=2)
    done = GenerationUpdate(claim.attempts, text="Answer.", new_tokens=2, status=Status.DONE, finish_reason="end")
    generation_leases.heartbeat("runner", {claim.generation_id: done}, 5)
    return [turn.text for turn in claim.messages]


def start(user: User, question: str = "One") -> Exchange:
    """Begin a conversation and have it answered."""
    turn = messages.start_conversation(
        user, messages.NewConversation(question), messages.NewMessage(question), limits=LIMITS
    )
    told()
    return turn


def ask(user: User, turn: Exchange, question: str, after: str | None = None) -> Exchange:
    """Ask the next question and have it answered."""
    made = messages.post_message(user, turn.conversation, messages.NewMessage(question, parent_id=after), limits=LIMITS)
    told()
    return made


def edit(user: User, turn: Exchange, words: str) -> Exchange:
    """Ask a question in other words and have it answered."""
    made = messages.edit_question(user, turn.question, messages.NewMessage(words), limits=LIMITS)
    told()
    return made


def shown(conversation: Conversation) -> list[str]:
    """The questions on the branch that is shown."""
    return [message.text for message in message_pages.page_before(conversation).messages if message.role is Role.USER]


def grow(user: User, depth: int, width: int = 0) -> Conversation:
    """A conversation so deep; its first and its last message have `max_line_columns` versions more between them."""
    conversation = Conversation(user_id=user.id, title="Long")
    db.session.add(conversation)
    db.session.flush()
    first = (db.session.scalar(select(func.max(Message.id))) or 0) + 1
    every = {"conversation_id": conversation.id, "text": "Word"}
    way = [
        {
            **every,
            "id": first + n,
            "parent_id": first + n - 1 if n else None,
            "role": list(Role)[n % 2],
            "is_active": True,
        }
        for n in range(depth)
    ]
    ends = [(None, Role.USER), (first + depth - 2, Role.ASSISTANT)]
    beside = [
        {**every, "id": first + depth + n, "parent_id": ends[n % 2][0], "role": ends[n % 2][1], "is_active": False}
        for n in range(width)
    ]
    db.session.execute(insert(Message), way + beside)
    if db.engine.dialect.name == "postgresql":
        # It counts by itself only where it gives the numbers.
        db.session.execute(text("SELECT setval(pg_get_serial_sequence('message', 'id'), max(id)) FROM message"))
        # As the server does by itself, but only after a minute; until then it expects a handful of rows.
        db.session.execute(text("ANALYZE message"))
    conversation.active_leaf_id = first + depth - 1
    db.session.commit()
    return conversation


def test_prompt_follows_shown_branch(people: People) -> None:
    alice = people.alice
    first = start(alice)
    second = ask(alice, first, "Two")
    messages.edit_question(alice, first.question, messages.NewMessage("Uno"), limits=LIMITS)
    assert told() == ["Uno"]
    messages.post_message(alice, first.conversation, messages.NewMessage("Dos"), limits=LIMITS)
    assert told() == ["Uno", "Answer.", "Dos"]
    message_tree.show_branch(second.question)
    messages.post_message(alice, first.conversation, messages.NewMessage("Three"), limits=LIMITS)
    assert told() == ["One", "Answer.", "Two", "Answer.", "Three"]
    messages.regenerate_answer(alice, second.answer, limits=LIMITS)
    assert told() == ["One", "Answer.", "Two"]
    assert shown(first.conversation) == ["One", "Two"]


def test_switching_version_restores_its_last_branch(people: People) -> None:
    first = start(people.alice)
    edit(people.alice, ask(people.alice, first, "Two"), "Second")
    other = edit(people.alice, first, "Uno")
    assert shown(first.conversation) == ["Uno"]
    assert shown(message_tree.show_branch(first.question)) == ["One", "Second"]
    assert shown(message_tree.show_branch(other.question)) == ["Uno"]


def test_versions_have_number_count_and_neighbors(people: People) -> None:
    first = start(people.alice)
    second, third = edit(people.alice, first, "Uno"), edit(people.alice, first, "Un")
    versions = [first.question, second.question, third.question]
    found = message_tree.version_positions([*versions, first.answer])
    assert first.answer.id not in found
    assert [(found[each.id].number, found[each.id].count) for each in versions] == [(1, 3), (2, 3), (3, 3)]
    names = [None, *(each.public_id for each in versions), None]
    assert [found[each.id].previous for each in versions] == names[:3]
    assert [found[each.id].next for each in versions] == names[2:]


def test_first_messages_of_other_conversations_are_not_versions(people: People) -> None:
    first, other = start(people.alice), start(people.alice, "Other")
    assert message_tree.version_positions([first.question, other.question]) == {}


def test_post_from_stale_tab_extends_branch_of_that_tab(people: People) -> None:
    alice = people.alice
    first = start(alice)
    edit(alice, first, "Uno")
    after = first.answer.public_id
    assert message_pages.messages_after(first.conversation, after) == []
    made = ask(alice, first, "Two", after=after)
    assert made.question.parent_id == first.answer.id
    assert shown(first.conversation) == ["One", "Two"]
    assert [row.id for row in message_pages.messages_after(first.conversation, after)] == [
        made.question.id,
        made.answer.id,
    ]


def test_branch_switch_during_generation_loses_nothing(people: People) -> None:
    alice = people.alice
    first = start(alice)
    edited = messages.edit_question(alice, first.question, messages.NewMessage("Uno"), limits=LIMITS)
    message_tree.show_branch(first.question)
    for change in (
        lambda: messages.post_message(alice, first.conversation, messages.NewMessage("Two"), limits=LIMITS),
        lambda: messages.edit_question(alice, first.question, messages.NewMessage("Un"), limits=LIMITS),
        lambda: messages.regenerate_answer(alice, first.answer, limits=LIMITS),
        lambda: branch_copies.fork_conversation(alice, edited.answer),
    ):
        with pytest.raises(AnswerRunningError):
            change()
    assert told() == ["Uno"]
    assert messages.get(alice, edited.answer.public_id).text == "Answer."
    assert shown(first.conversation) == ["One"]
    assert db.session.scalar(select(func.count()).select_from(Message)) == 4


def test_editing_answer_or_answering_question_raises_not_found(people: People) -> None:
    turn = start(people.alice)
    with pytest.raises(NotFoundError):
        messages.edit_question(people.alice, turn.answer, messages.NewMessage("Uno"), limits=LIMITS)
    with pytest.raises(NotFoundError):
        messages.regenerate_answer(people.alice, turn.question, limits=LIMITS)


def test_fork_ends_at_message_and_is_independent(people: People) -> None:
    alice = people.alice
    first = start(alice)
    second = ask(alice, first, "Two")
    ask(alice, first, "Three")
    edit(alice, second, "Second")
    made = branch_copies.fork_conversation(alice, messages.get(alice, second.answer.public_id))
    assert shown(made) == ["One", "Two"]
    assert [row.status for row in message_pages.page_before(made).messages] == [Status.DONE] * 4
    messages.post_message(alice, made, messages.NewMessage("Four"), limits=LIMITS)
    assert told() == ["One", "Answer.", "Two", "Answer.", "Four"]
    assert shown(first.conversation) == ["One", "Second"]
    conversations.get(alice, made.public_id)


def test_temporary_chat_cannot_be_forked(people: People) -> None:
    turn = start(people.alice)
    turn.conversation.expires_at = turn.conversation.created_at.replace(year=9000)
    db.session.commit()
    with pytest.raises(TemporaryChatError):
        branch_copies.fork_conversation(people.alice, messages.get(people.alice, turn.answer.public_id))


def test_first_since_searches_shown_branch_only(people: People) -> None:
    first = start(people.alice)
    second = ask(people.alice, first, "Two")
    edited = edit(people.alice, second, "Second")
    moment = second.question.created_at
    assert message_tree.find_first_message_since(first.conversation, moment) == edited.question.id
    assert message_tree.find_first_message_since(first.conversation, first.question.created_at) == first.question.id
    assert (
        message_tree.find_first_message_since(first.conversation, edited.answer.created_at.replace(year=9000)) is None
    )


def test_deep_and_wide_conversation_works(people: People) -> None:
    alice = people.alice
    deep = grow(alice, DEPTH, WIDTH)
    last = message_pages.page_before(deep).messages[-1]
    place = message_tree.version_positions([last])[last.id]
    assert (place.number, place.count) == (1, WIDTH // 2 + 1)
    assert place.next is not None
    message_tree.show_branch(messages.get(alice, place.next))
    question = messages.get(alice, last.public_id).parent_id
    assert message_tree.get_leaf_id(message_tree.find_root_id(deep) or 0) != last.id
    assert question == message_pages.page_before(deep).messages[-2].id
    messages.post_message(alice, deep, messages.NewMessage("More"), limits=LIMITS)
    assert len(told()) == generation_leases.MAX_PROMPT_MESSAGES
    first = messages.get_by_id(message_tree.find_root_id(deep) or 0)
    assert (
        message_tree.show_branch(
            messages.get(alice, message_tree.version_positions([first])[first.id].next or "")
        ).active_leaf_id
        != deep.id
    )
    assert len(message_pages.page_before(deep).messages) == 1
    assert len(message_tree.ancestors(last.id)) == DEPTH


def test_deep_conversation_can_be_deleted(people: People) -> None:
    deep = grow(people.alice, DEPTH, WIDTH)
    destroy(deep)
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

    connection: Any = db.session.connection().connection.driver_connection
    connection.set_progress_handler(step, 100)
    try:
        act()
    finally:
        connection.set_progress_handler(None, 0)
    return steps


@pytest.mark.parametrize(
    "act",
    [
        lambda talk: message_pages.page_before(talk),
        lambda talk: message_tree.version_positions(message_pages.page_before(talk).messages),
        lambda talk: message_pages.page_before(talk, message_pages.page_before(talk).messages[0].public_id),
        lambda talk: message_pages.page_after(talk, messages.get_by_id(message_tree.find_root_id(talk) or 0).public_id),
        lambda talk: message_pages.page_around(talk, message_tree.ancestors(talk.active_leaf_id, 50)[-1]),
        lambda talk: prompt_report.estimate_context_usage(talk),
        lambda talk: message_tree.find_root_id(talk),
    ],
    ids=["end", "places", "before", "after", "around", "outlook", "root"],
)
def test_read_cost_is_independent_of_conversation_length(app: Flask, act: Callable[..., object]) -> None:
    with app.app_context():
        alice = users.get_or_create_by_token("alice")
        short, long = grow(alice, 500), grow(alice, DEPTH)
        act(short)
        few, many = work(lambda: act(short)), work(lambda: act(long))
        assert few > 0 or many <= 1
        assert many <= 1.2 * few + 2, (few, many)
        db.session.remove()
