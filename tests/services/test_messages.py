"""Asking: what is stored, what is refused, and what a repetition does."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from chatsite.database import db
from chatsite.errors import (
    AnswerRunningError,
    ChatsiteError,
    ControlCharactersError,
    ConversationGoneError,
    EmptyMessageError,
    MessageTooLongError,
    NotFoundError,
    OwnQueueFullError,
    QueueFullError,
)
from chatsite.models import Conversation, Generation, Message, Role, Status
from chatsite.services import claims, conversations, messages, windows
from tests.conftest import LIMITS, People


def count(model: type) -> int:
    return db.session.scalar(select(func.count()).select_from(model)) or 0


def finish(turn: messages.Turn, text: str = "An answer.", owner: str = "runner") -> None:
    """Have the turn answered, as a runner would."""
    [claim] = claims.claim(owner, 1, 5, 2)
    done = claims.Written(claim.attempt, text=text, tokens=2, status=Status.DONE, reason="end")
    assert claims.record(owner, {claim.generation_id: done}, 5) == set()


def test_start_stores_question_answer_and_work(people: People) -> None:
    turn = messages.start(people.alice, "  Hello\r\nthere ", "t1", "Hello there", LIMITS)
    assert turn.conversation.title == "Hello there"
    assert (turn.question.role, turn.question.text) == (Role.USER, "Hello\nthere")
    assert (turn.answer.role, turn.answer.text, turn.answer.status) == (Role.ASSISTANT, "", Status.QUEUED)
    assert turn.question.id < turn.answer.id


def test_start_again_with_the_same_token_gives_the_same_turn(people: People) -> None:
    first = messages.start(people.alice, "Hello", "t1", "Hello", LIMITS)
    first_id = first.answer.id
    again = messages.start(people.alice, "Hello", "t1", "Hello", LIMITS)
    assert again.repeated
    assert again.answer.id == first_id
    assert (count(Conversation), count(Message), count(Generation)) == (1, 2, 1)


def test_the_same_token_of_another_user_is_another_turn(people: People) -> None:
    messages.start(people.alice, "Hello", "t1", "Hello", LIMITS)
    assert not messages.start(people.bob, "Hello", "t1", "Hello", LIMITS).repeated
    assert count(Conversation) == 2


def test_post_asks_the_next_question(people: People) -> None:
    first = messages.start(people.alice, "One", "t1", "One", LIMITS)
    finish(first)
    turn = messages.post(people.alice, first.conversation, "Two", "t2", LIMITS)
    texts = [message.text for message in windows.until(turn.conversation).messages]
    assert texts == ["One", "An answer.", "Two", ""]


def test_post_moves_the_conversation_to_the_top(people: People) -> None:
    old = messages.start(people.alice, "Old", "t1", "Old", LIMITS)
    finish(old)
    messages.start(people.alice, "New", "t2", "New", LIMITS)
    assert [found.title for found in conversations.page(people.alice).items] == ["New", "Old"]
    messages.post(people.alice, old.conversation, "More", "t3", LIMITS)
    assert [found.title for found in conversations.page(people.alice).items] == ["Old", "New"]


def test_post_again_with_the_same_token_gives_the_same_turn(people: People) -> None:
    first = messages.start(people.alice, "One", "t1", "One", LIMITS)
    finish(first)
    second = messages.post(people.alice, first.conversation, "Two", "t2", LIMITS)
    second_id = second.answer.id
    assert messages.post(people.alice, first.conversation, "Two", "t2", LIMITS).answer.id == second_id
    assert count(Message) == 4


def test_post_while_an_answer_is_written_is_refused(people: People) -> None:
    first = messages.start(people.alice, "One", "t1", "One", LIMITS)
    with pytest.raises(AnswerRunningError):
        messages.post(people.alice, first.conversation, "Two", "t2", LIMITS)
    assert count(Message) == 2


def test_post_to_a_deleted_conversation_is_refused(people: People) -> None:
    turn = messages.start(people.alice, "One", "t1", "One", LIMITS)
    finish(turn)
    conversation = turn.conversation
    db.session.refresh(conversation)
    db.session.expunge(conversation)
    conversations.destroy(conversations.get(people.alice, conversation.public_id))
    with pytest.raises(ConversationGoneError):
        messages.post(people.alice, conversation, "Two", "t2", LIMITS)
    assert (count(Message), count(Generation)) == (0, 0)


def test_post_to_somebody_elses_conversation_is_refused(people: People) -> None:
    turn = messages.start(people.alice, "One", "t1", "One", LIMITS)
    finish(turn)
    with pytest.raises(ConversationGoneError):
        messages.post(people.bob, turn.conversation, "Two", "t2", LIMITS)
    assert count(Message) == 2


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", EmptyMessageError),
        (" \n\t ", EmptyMessageError),
        ("\u200b\u2060", EmptyMessageError),
        ("a\x00b", ControlCharactersError),
        ("a\x1b[31m", ControlCharactersError),
        ("x" * 8001, MessageTooLongError),
    ],
)
def test_bad_text_is_refused_and_nothing_is_stored(people: People, text: str, error: type[ChatsiteError]) -> None:
    with pytest.raises(error):
        messages.start(people.alice, text, "t1", "Title", LIMITS)
    assert (count(Conversation), count(Message), count(Generation)) == (0, 0, 0)


def test_the_longest_message_fits(people: People) -> None:
    turn = messages.start(people.alice, "\U0001f600" * 8000, "t1", "Title", LIMITS)
    assert len(turn.question.text) == 8000


@given(st.text(max_size=60))
def test_what_is_checked_can_be_stored_and_read(text: str) -> None:
    try:
        kept = messages.check(text, 50)
    except ChatsiteError:
        return
    assert kept
    assert kept == messages.check(kept, 50)
    assert "\x00" not in kept
    kept.encode()


def test_the_queue_of_one_visitor_is_bounded(people: People) -> None:
    for number in range(3):
        messages.start(people.alice, "Hi", f"t{number}", "Hi", LIMITS)
    with pytest.raises(OwnQueueFullError):
        messages.start(people.alice, "Hi", "t9", "Hi", LIMITS)
    assert messages.start(people.bob, "Hi", "t1", "Hi", LIMITS)
    assert count(Conversation) == 4


def test_the_queue_of_all_is_bounded(people: People) -> None:
    tight = replace(LIMITS, total=1)
    messages.start(people.alice, "Hi", "t1", "Hi", tight)
    with pytest.raises(QueueFullError) as refused:
        messages.start(people.bob, "Hi", "t2", "Hi", tight)
    assert refused.value.retry_after
    assert count(Conversation) == 1


def test_a_repeated_post_is_not_refused_by_a_full_queue(people: People) -> None:
    tight = replace(LIMITS, total=1)
    messages.start(people.alice, "Hi", "t1", "Hi", tight)
    assert messages.start(people.alice, "Hi", "t1", "Hi", tight).repeated


def test_get_is_for_the_owner_alone(people: People) -> None:
    turn = messages.start(people.alice, "Hi", "t1", "Hi", LIMITS)
    name = turn.answer.public_id
    assert messages.get(people.alice, name).id == turn.answer.id
    for outsider in (people.bob, None):
        with pytest.raises(NotFoundError):
            messages.get(outsider, name)


def test_windows_lead_back_to_the_beginning(people: People) -> None:
    turn = messages.start(people.alice, "Question 0", "t0", "Many", LIMITS)
    finish(turn, "Answer 0")
    conversation = turn.conversation
    for number in range(1, 4):
        finish(
            messages.post(people.alice, conversation, f"Question {number}", f"t{number}", LIMITS), f"Answer {number}"
        )
    seen: list[str] = []
    window = windows.until(conversation, size=3)
    seen = [message.text for message in window.messages] + seen
    while window.earlier:
        window = windows.until(conversation, before=window.messages[0].public_id, size=3)
        seen = [message.text for message in window.messages] + seen
    assert seen == [f"{kind} {number}" for number in range(4) for kind in ("Question", "Answer")]


def test_since_brings_what_a_stale_tab_lacks(people: People) -> None:
    turn = messages.start(people.alice, "One", "t1", "One", LIMITS)
    finish(turn)
    known = turn.answer.public_id
    messages.post(people.alice, turn.conversation, "Two", "t2", LIMITS)
    assert [message.text for message in windows.since(turn.conversation, known)] == ["Two", ""]
    assert len(windows.since(turn.conversation, "unknown")) == 4


def test_a_window_does_not_take_a_name_from_elsewhere(people: People) -> None:
    mine = messages.start(people.alice, "Mine", "t1", "Mine", LIMITS)
    other = messages.start(people.bob, "Other", "t1", "Other", LIMITS)
    with pytest.raises(NotFoundError):
        windows.until(mine.conversation, before=other.answer.public_id)
