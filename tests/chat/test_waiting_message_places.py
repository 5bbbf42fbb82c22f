"""Where a message waits: on its branch, for all answers of a comparison, in the trash, and in temporary chats."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import func, select

from chatsite.database import db
from chatsite.errors import AnswerRunningError, ConversationNotFoundError
from chatsite.models import Conversation, Status, User, WaitingMessage
from chatsite.services.chat import (
    branch_copies,
    comparisons,
    conversations,
    generation_leases,
    message_pages,
    message_tree,
    messages,
    reruns,
    temporary,
    waiting_messages,
)
from chatsite.services.chat.generation_update import GenerationUpdate
from chatsite.services.chat.messages import Exchange, NewMessage
from chatsite.services.chat.waiting_messages import WaitingState
from chatsite.services.models.choice import ModelChoice
from chatsite.services.organize import trash
from tests.chat.test_waiting_messages import end_answers, send, start, state, texts
from tests.conftest import LIMITS, People
from tests.support.deleting import destroy


def test_it_belongs_to_the_branch_of_the_answer(people: People) -> None:
    turn = start(people.alice)
    end_answers()
    messages.edit_question(people.alice, turn.question, NewMessage("Uno"), limits=LIMITS)
    end_answers(text="Otra.")
    second = send(people.alice, turn.conversation, "Dos")
    assert isinstance(second, Exchange)
    send(people.alice, turn.conversation, "Tres", parent_id=second.answer.public_id)
    # From a page that shows the other branch nothing can wait: its answer is done.
    with pytest.raises(AnswerRunningError):
        send_from_other_branch(people.alice, turn)
    message_tree.show_branch(messages.get(people.alice, turn.answer.public_id))
    end_answers()
    waiting_messages.post_due(LIMITS)
    assert texts(turn.conversation) == ["Uno", "Otra.", "Dos", "An answer.", "Tres", ""]


def send_from_other_branch(user: User, turn: Exchange) -> None:
    waiting_messages.remove(turn.conversation)
    try:
        send(user, turn.conversation, "Two", parent_id=turn.answer.public_id)
    finally:
        last = message_pages.page_before(conversations.get(user, turn.conversation.public_id)).messages[-1]
        send(user, turn.conversation, "Tres", parent_id=last.public_id)


FOLLOWED: dict[str, Callable[[User, Exchange], object]] = {
    "regenerated": lambda user, turn: messages.regenerate_answer(user, turn.answer, limits=LIMITS),
    "edited": lambda user, turn: messages.edit_question(user, turn.question, NewMessage("Uno"), limits=LIMITS),
    "continued": lambda user, turn: reruns.queue(turn.answer, True, LIMITS),
    "posted": lambda user, turn: messages.post_message(user, turn.conversation, NewMessage("Another"), limits=LIMITS),
}


@pytest.mark.parametrize("how", FOLLOWED)
def test_held_message_follows_the_next_answer_of_its_branch(people: People, how: str) -> None:
    turn = start(people.alice)
    send(people.alice, turn.conversation)
    end_answers(Status.STOPPED)
    FOLLOWED[how](people.alice, turn)
    assert state(turn.conversation) is WaitingState.WAITING
    end_answers()
    waiting_messages.post_due(LIMITS)
    assert texts(turn.conversation)[-2:] == ["Two", ""]
    assert waiting_messages.find(turn.conversation.id) is None


def test_it_waits_for_all_answers_of_a_comparison(people: People) -> None:
    turn = start(people.alice, compare_with=[ModelChoice("other")])
    send(people.alice, turn.conversation)
    [first, _second] = generation_leases.claim("runner", 10, 60, max_attempts=2)
    news = GenerationUpdate(first.attempts, text="One.", status=Status.DONE)
    generation_leases.heartbeat("runner", {first.generation_id: news}, 60)
    assert waiting_messages.post_due(LIMITS) == 0
    picked = comparisons.list_compared(messages.get(people.alice, turn.answer.public_id))[1]
    waiting = waiting_messages.find(turn.conversation.id)
    assert waiting
    assert waiting_messages.is_for(waiting, picked)
    comparisons.pick_winner(picked)
    generation_leases.release("runner")
    end_answers(text="Other.")
    assert waiting_messages.post_due(LIMITS) == 1
    assert texts(turn.conversation)[1:3] == ["Other.", "Two"]


def test_comparison_is_compared_when_posted(people: People) -> None:
    turn = start(people.alice)
    send(people.alice, turn.conversation, compare_with=[ModelChoice("other", "precise")])
    end_answers()
    waiting_messages.post_due(LIMITS)
    last = message_pages.page_before(conversations.get(people.alice, turn.conversation.public_id)).messages[-1]
    compared = comparisons.list_compared(last)
    assert [(each.generation.model, each.generation.preset) for each in compared if each.generation] == [
        (None, None),
        ("other", "precise"),
    ]


def test_it_stays_in_the_trash_and_goes_with_its_conversation(people: People) -> None:
    turn = start(people.alice)
    conversation_id = turn.conversation.id
    send(people.alice, turn.conversation)
    undo = trash.move_to_trash(people.alice, [turn.conversation.public_id])
    waiting_messages.post_due(LIMITS)
    for call in (waiting_messages.remove, lambda each: waiting_messages.send_now(each, LIMITS)):
        with pytest.raises(ConversationNotFoundError):
            call(turn.conversation)
    assert undo
    trash.restore(people.alice, [turn.conversation.public_id])
    assert state(turn.conversation) is WaitingState.HELD
    destroy(turn.conversation)
    assert db.session.scalar(select(WaitingMessage).where(WaitingMessage.conversation_id == conversation_id)) is None


def test_fork_takes_no_waiting_message(people: People) -> None:
    turn = start(people.alice)
    end_answers()
    send(people.alice, turn.conversation)
    send(people.alice, turn.conversation, "Three")
    fork = branch_copies.fork_conversation(people.alice, messages.get(people.alice, turn.answer.public_id))
    assert waiting_messages.find(fork.id) is None


def test_temporary_chat_takes_its_waiting_message_with_it(people: People) -> None:
    turn = messages.start_conversation(
        people.alice, messages.NewConversation("One", is_temporary=True), NewMessage("One"), limits=LIMITS
    )
    send(people.alice, turn.conversation)
    end_answers()
    waiting_messages.post_due(LIMITS)
    assert texts(turn.conversation)[2] == "Two"
    send(people.alice, turn.conversation, "Three")
    conversation = db.session.get_one(Conversation, turn.conversation.id)
    conversation.expires_at = conversation.created_at
    db.session.commit()
    temporary.delete_expired()
    assert db.session.scalar(select(func.count()).select_from(WaitingMessage)) == 0
