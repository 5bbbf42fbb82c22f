"""Asking: what is stored, what is refused, and what a repetition does."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select, update

from chatsite.database import db, write_transaction
from chatsite.errors import (
    AnswerRunningError,
    ChatsiteError,
    ConversationNotFoundError,
    EmptyMessageError,
    MessageTooLongError,
    NotFoundError,
    QueueFullError,
    UserQueueFullError,
)
from chatsite.models import AnonymousUser, Conversation, Generation, Message, Role, Status
from chatsite.services.chat import conversations, generation_leases, message_pages, message_tree, messages
from chatsite.services.chat.generation_update import GenerationUpdate
from tests.conftest import LIMITS, People
from tests.support.deleting import destroy


def count(model: type) -> int:
    return db.session.scalar(select(func.count()).select_from(model)) or 0


def finish(turn: messages.Exchange, text: str = "An answer.", owner: str = "runner") -> None:
    """Have the turn answered, as a runner would."""
    [claim] = generation_leases.claim(owner, 1, 5, max_attempts=2)
    done = GenerationUpdate(claim.attempts, text=text, new_tokens=2, status=Status.DONE, finish_reason="end")
    assert generation_leases.heartbeat(owner, {claim.generation_id: done}, 5) == set()


def test_start_stores_question_answer_and_generation(people: People) -> None:
    turn = messages.start_conversation(
        people.alice,
        messages.NewConversation("Hello there"),
        messages.NewMessage("  Hello\r\nthere ", "t1"),
        limits=LIMITS,
    )
    assert turn.conversation.title == "Hello there"
    assert (turn.question.role, turn.question.text) == (Role.USER, "  Hello\nthere")
    assert (turn.answer.role, turn.answer.text, turn.answer.status) == (Role.ASSISTANT, "", Status.QUEUED)
    assert turn.question.id < turn.answer.id


def test_duplicate_start_returns_same_exchange(people: People) -> None:
    first = messages.start_conversation(
        people.alice, messages.NewConversation("Hello"), messages.NewMessage("Hello", "t1"), limits=LIMITS
    )
    first_id = first.answer.id
    again = messages.start_conversation(
        people.alice, messages.NewConversation("Hello"), messages.NewMessage("Hello", "t1"), limits=LIMITS
    )
    assert again.is_duplicate
    assert again.answer.id == first_id
    assert (count(Conversation), count(Message), count(Generation)) == (1, 2, 1)


def test_same_form_token_of_other_user_is_independent(people: People) -> None:
    messages.start_conversation(
        people.alice, messages.NewConversation("Hello"), messages.NewMessage("Hello", "t1"), limits=LIMITS
    )
    assert not messages.start_conversation(
        people.bob, messages.NewConversation("Hello"), messages.NewMessage("Hello", "t1"), limits=LIMITS
    ).is_duplicate
    assert count(Conversation) == 2


def test_post_asks_the_next_question(people: People) -> None:
    first = messages.start_conversation(
        people.alice, messages.NewConversation("One"), messages.NewMessage("One", "t1"), limits=LIMITS
    )
    finish(first)
    turn = messages.post_message(people.alice, first.conversation, messages.NewMessage("Two", "t2"), limits=LIMITS)
    texts = [message.text for message in message_pages.page_before(turn.conversation).messages]
    assert texts == ["One", "An answer.", "Two", ""]


def test_post_moves_the_conversation_to_the_top(people: People) -> None:
    old = messages.start_conversation(
        people.alice, messages.NewConversation("Old"), messages.NewMessage("Old", "t1"), limits=LIMITS
    )
    finish(old)
    messages.start_conversation(
        people.alice, messages.NewConversation("New"), messages.NewMessage("New", "t2"), limits=LIMITS
    )
    assert [found.title for found in conversations.list_page(people.alice).items] == ["New", "Old"]
    messages.post_message(people.alice, old.conversation, messages.NewMessage("More", "t3"), limits=LIMITS)
    assert [found.title for found in conversations.list_page(people.alice).items] == ["Old", "New"]


def test_duplicate_post_returns_same_exchange(people: People) -> None:
    first = messages.start_conversation(
        people.alice, messages.NewConversation("One"), messages.NewMessage("One", "t1"), limits=LIMITS
    )
    finish(first)
    second = messages.post_message(people.alice, first.conversation, messages.NewMessage("Two", "t2"), limits=LIMITS)
    second_id = second.answer.id
    assert (
        messages.post_message(
            people.alice, first.conversation, messages.NewMessage("Two", "t2"), limits=LIMITS
        ).answer.id
        == second_id
    )
    assert count(Message) == 4


def test_post_during_generation_is_rejected(people: People) -> None:
    first = messages.start_conversation(
        people.alice, messages.NewConversation("One"), messages.NewMessage("One", "t1"), limits=LIMITS
    )
    with pytest.raises(AnswerRunningError):
        messages.post_message(people.alice, first.conversation, messages.NewMessage("Two", "t2"), limits=LIMITS)
    assert count(Message) == 2


def test_post_to_deleted_conversation_is_rejected(people: People) -> None:
    turn = messages.start_conversation(
        people.alice, messages.NewConversation("One"), messages.NewMessage("One", "t1"), limits=LIMITS
    )
    finish(turn)
    conversation = turn.conversation
    db.session.refresh(conversation)
    db.session.expunge(conversation)
    destroy(conversations.get(people.alice, conversation.public_id))
    with pytest.raises(ConversationNotFoundError):
        messages.post_message(people.alice, conversation, messages.NewMessage("Two", "t2"), limits=LIMITS)
    assert (count(Message), count(Generation)) == (0, 0)


def test_post_to_other_users_conversation_is_rejected(people: People) -> None:
    turn = messages.start_conversation(
        people.alice, messages.NewConversation("One"), messages.NewMessage("One", "t1"), limits=LIMITS
    )
    finish(turn)
    with pytest.raises(ConversationNotFoundError):
        messages.post_message(people.bob, turn.conversation, messages.NewMessage("Two", "t2"), limits=LIMITS)
    assert count(Message) == 2


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", EmptyMessageError),
        (" \n\t ", EmptyMessageError),
        ("\u200b\u2060", EmptyMessageError),
        ("\u2800\u3164", EmptyMessageError),
        ("\x1b[31m\x00", EmptyMessageError),
        ("x" * 8001, MessageTooLongError),
    ],
)
def test_invalid_text_is_rejected_and_nothing_stored(people: People, text: str, error: type[ChatsiteError]) -> None:
    with pytest.raises(error):
        messages.start_conversation(
            people.alice, messages.NewConversation("Title"), messages.NewMessage(text, "t1"), limits=LIMITS
        )
    assert (count(Conversation), count(Message), count(Generation)) == (0, 0, 0)


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("\x1b[31mError:\x1b[0m it failed", "Error: it failed"),
        ("page one\x0cpage two", "page one\npage two"),
        ("a\x00b\x85c\u2028d\x9de", "ab\nc\nde"),
        ("\ud800", "\ufffd"),
        ("\U0001fae8", "\U0001fae8"),
        ("\U0001fae9", "\U0001fae9"),
        ("\n  \n    def f():\r\n        return 1\n \n", "    def f():\n        return 1"),
    ],
)
def test_pasted_text_is_stored_as_it_is_seen(people: People, text: str, stored: str) -> None:
    turn = messages.start_conversation(
        people.alice, messages.NewConversation("Title"), messages.NewMessage(text, "t1"), limits=LIMITS
    )
    assert turn.question.text == stored


def test_message_of_max_length_is_accepted(people: People) -> None:
    turn = messages.start_conversation(
        people.alice, messages.NewConversation("Title"), messages.NewMessage("\U0001f600" * 8000, "t1"), limits=LIMITS
    )
    assert len(turn.question.text) == 8000


@given(st.text(max_size=60))
def test_validated_text_is_storable_and_stable(text: str) -> None:
    try:
        kept = messages.normalize_text(text, 50)
    except ChatsiteError:
        return
    assert kept
    assert kept == messages.normalize_text(kept, 50)
    assert "\x00" not in kept
    kept.encode()


def test_queue_per_user_is_limited(people: People) -> None:
    for number in range(3):
        messages.start_conversation(
            people.alice, messages.NewConversation("Hi"), messages.NewMessage("Hi", f"t{number}"), limits=LIMITS
        )
    with pytest.raises(UserQueueFullError):
        messages.start_conversation(
            people.alice, messages.NewConversation("Hi"), messages.NewMessage("Hi", "t9"), limits=LIMITS
        )
    assert messages.start_conversation(
        people.bob, messages.NewConversation("Hi"), messages.NewMessage("Hi", "t1"), limits=LIMITS
    )
    assert count(Conversation) == 4


def test_total_queue_is_limited(people: People) -> None:
    tight = replace(LIMITS, max_queued=1)
    messages.start_conversation(
        people.alice, messages.NewConversation("Hi"), messages.NewMessage("Hi", "t1"), limits=tight
    )
    with pytest.raises(QueueFullError) as refused:
        messages.start_conversation(
            people.bob, messages.NewConversation("Hi"), messages.NewMessage("Hi", "t2"), limits=tight
        )
    assert refused.value.retry_after
    assert count(Conversation) == 1


def test_duplicate_post_ignores_full_queue(people: People) -> None:
    tight = replace(LIMITS, max_queued=1)
    messages.start_conversation(
        people.alice, messages.NewConversation("Hi"), messages.NewMessage("Hi", "t1"), limits=tight
    )
    assert messages.start_conversation(
        people.alice, messages.NewConversation("Hi"), messages.NewMessage("Hi", "t1"), limits=tight
    ).is_duplicate


def test_outsider_cannot_get_message(people: People) -> None:
    turn = messages.start_conversation(
        people.alice, messages.NewConversation("Hi"), messages.NewMessage("Hi", "t1"), limits=LIMITS
    )
    name = turn.answer.public_id
    assert messages.get(people.alice, name).id == turn.answer.id
    for outsider in (people.bob, AnonymousUser()):
        with pytest.raises(NotFoundError):
            messages.get(outsider, name)


def test_message_pages_lead_back_to_first_message(people: People) -> None:
    turn = messages.start_conversation(
        people.alice, messages.NewConversation("Many"), messages.NewMessage("Question 0", "t0"), limits=LIMITS
    )
    finish(turn, "Answer 0")
    conversation = turn.conversation
    for number in range(1, 4):
        finish(
            messages.post_message(
                people.alice, conversation, messages.NewMessage(f"Question {number}", f"t{number}"), limits=LIMITS
            ),
            f"Answer {number}",
        )
    seen: list[str] = []
    window = message_pages.page_before(conversation, size=3)
    seen = [message.text for message in window.messages] + seen
    while window.has_earlier:
        window = message_pages.page_before(conversation, before=window.messages[0].public_id, size=3)
        seen = [message.text for message in window.messages] + seen
    assert seen == [f"{kind} {number}" for number in range(4) for kind in ("Question", "Answer")]


@pytest.fixture
def long_texts(people: People) -> Conversation:
    """A conversation whose messages are as long as only imported ones are: two of them fit on a page."""
    turn = messages.start_conversation(
        people.alice, messages.NewConversation("Long"), messages.NewMessage("One", "t0"), limits=LIMITS
    )
    finish(turn)
    for key in ("t1", "t2"):
        finish(messages.post_message(people.alice, turn.conversation, messages.NewMessage("More", key), limits=LIMITS))
    with write_transaction() as tx:
        tx.execute(update(Message).values(text="'" * 400_000))
    return turn.conversation


def test_page_has_bounded_number_of_characters(long_texts: Conversation) -> None:
    ids = message_tree.ancestors(long_texts.active_leaf_id)[::-1]
    seen: list[list[int]] = []
    page = message_pages.page_before(long_texts)
    seen.insert(0, [message.id for message in page.messages])
    while page.has_earlier:
        page = message_pages.page_before(long_texts, page.messages[0].public_id)
        seen.insert(0, [message.id for message in page.messages])
    assert seen == [ids[0:2], ids[2:4], ids[4:6]]
    page = message_pages.page_after(long_texts, page.messages[0].public_id)
    assert [message.id for message in page.messages] == ids[1:3]
    assert page.has_later
    page = message_pages.page_around(long_texts, ids[2])
    assert [message.id for message in page.messages] == [ids[2]]
    assert page.has_earlier
    assert page.has_later
    assert [message.id for message in message_pages.messages_after(long_texts, None)] == ids[4:]


def test_page_has_one_message_that_is_longer_than_a_page(long_texts: Conversation) -> None:
    with write_transaction() as tx:
        tx.execute(update(Message).values(text="'" * (message_pages.MAX_PAGE_CHARS + 1)))
    assert len(message_pages.page_before(long_texts).messages) == 1


def test_answers_of_comparison_count_for_the_page(long_texts: Conversation) -> None:
    """They are shown side by side, so a page has the text of all of them."""
    ids = message_tree.ancestors(long_texts.active_leaf_id)
    with write_transaction() as tx:
        tx.execute(update(Message).values(text="short"))
        last = tx.get_one(Message, ids[0])
        last.in_comparison = True
        message_tree.add_message(
            tx, long_texts, last.parent_id, role=Role.ASSISTANT, in_comparison=True, text="'" * 1_000_000
        )
    assert message_tree.shown_lengths(ids[:2]) == {ids[0]: 1_000_005, ids[1]: 5}
    long_texts.active_leaf_id = ids[0]
    assert [message.id for message in message_pages.page_before(long_texts).messages] == [ids[0]]


def test_since_returns_messages_missing_in_stale_tab(people: People) -> None:
    turn = messages.start_conversation(
        people.alice, messages.NewConversation("One"), messages.NewMessage("One", "t1"), limits=LIMITS
    )
    finish(turn)
    known = turn.answer.public_id
    messages.post_message(people.alice, turn.conversation, messages.NewMessage("Two", "t2"), limits=LIMITS)
    assert [message.text for message in message_pages.messages_after(turn.conversation, known)] == ["Two", ""]
    assert len(message_pages.messages_after(turn.conversation, "unknown")) == 4


def test_message_page_rejects_id_of_other_conversation(people: People) -> None:
    mine = messages.start_conversation(
        people.alice, messages.NewConversation("Mine"), messages.NewMessage("Mine", "t1"), limits=LIMITS
    )
    other = messages.start_conversation(
        people.bob, messages.NewConversation("Other"), messages.NewMessage("Other", "t1"), limits=LIMITS
    )
    with pytest.raises(NotFoundError):
        message_pages.page_before(mine.conversation, before=other.answer.public_id)
