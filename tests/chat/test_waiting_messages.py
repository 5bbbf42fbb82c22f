"""Messages that wait for an answer in progress: stored, posted once when it is done, and never without being asked."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select

from chatsite.database import db
from chatsite.errors import (
    DraftTooLongError,
    EmptyMessageError,
    MessageTooLongError,
    QueueFullError,
    UserQueueFullError,
)
from chatsite.models import Conversation, Message, Status, User, WaitingMessage
from chatsite.services.accounts import users
from chatsite.services.chat import (
    chat_settings,
    conversations,
    drafts,
    exchanges,
    generation_leases,
    message_pages,
    messages,
    waiting_messages,
)
from chatsite.services.chat.chat_settings import ChatSettings
from chatsite.services.chat.generation_update import GenerationUpdate
from chatsite.services.chat.messages import Exchange, NewMessage
from chatsite.services.chat.waiting_messages import WaitingState
from chatsite.services.models.choice import ModelChoice
from tests.conftest import LIMITS, People


def start(user: User, text: str = "One", **options: Any) -> Exchange:
    return messages.start_conversation(
        user,
        messages.NewConversation(text),
        NewMessage(text, **options),
        limits=LIMITS,
    )


def send(user: User, conversation: Conversation, text: str = "Two", key: str = "", **options: Any) -> object:
    choice = options.pop("choice", None)
    return waiting_messages.post_or_wait(
        user,
        conversation,
        NewMessage(text, key, **options),
        limits=LIMITS,
        choice=choice,
    )


def end_answers(status: Status = Status.DONE, text: str = "An answer.") -> None:
    """End all answers, as a runner does."""
    for claim in generation_leases.claim("runner", 10, 60, max_attempts=2):
        news = GenerationUpdate(claim.attempts, text=text, status=status, finish_reason="end")
        assert generation_leases.heartbeat("runner", {claim.generation_id: news}, 60) == set()


def texts(conversation: Conversation) -> list[str]:
    fresh = db.session.get_one(Conversation, conversation.id, populate_existing=True)
    return [each.text for each in message_pages.page_before(fresh).messages]


def state(conversation: Conversation) -> WaitingState | None:
    waiting = waiting_messages.find(conversation.id)
    return waiting_messages.find_state(waiting) if waiting else None


def test_message_waits_until_answer_is_done(people: People) -> None:
    turn = start(people.alice)
    waiting = send(people.alice, turn.conversation, "  Two\r\nlines ")
    assert isinstance(waiting, WaitingMessage)
    assert (waiting.text, waiting.parent_id) == ("  Two\nlines", turn.answer.id)
    assert state(turn.conversation) is WaitingState.WAITING
    assert waiting_messages.post_due(LIMITS) == 0
    end_answers()
    assert state(turn.conversation) is WaitingState.SENDING
    assert waiting_messages.post_due(LIMITS) == 1
    assert texts(turn.conversation) == ["One", "An answer.", "  Two\nlines", ""]
    assert waiting_messages.find(turn.conversation.id) is None
    assert waiting_messages.post_due(LIMITS) == 0


def test_without_answer_in_progress_message_is_posted(people: People) -> None:
    turn = start(people.alice)
    end_answers()
    assert isinstance(send(people.alice, turn.conversation), Exchange)


def test_second_message_is_added_as_paragraph(people: People) -> None:
    turn = start(people.alice)
    send(people.alice, turn.conversation, "Two", "k2")
    send(people.alice, turn.conversation, "Three", "k3")
    # The same form once more.
    send(people.alice, turn.conversation, "Three", "k3")
    end_answers()
    # Between the end of the answer and the posting it does not overtake what waits.
    send(people.alice, turn.conversation, "Four", "k4")
    waiting_messages.post_due(LIMITS)
    assert texts(turn.conversation)[2] == "Two\n\nThree\n\nFour"
    assert isinstance(send(people.alice, turn.conversation, "Four", "k4"), Exchange)
    assert len(texts(turn.conversation)) == 4


@pytest.mark.parametrize("how", ["stopped", "failed", "interrupted"])
def test_after_stop_or_failure_it_is_not_posted(people: People, how: str) -> None:
    turn = start(people.alice)
    send(people.alice, turn.conversation)
    end_answers(Status(how))
    assert waiting_messages.post_due(LIMITS) == 0
    assert state(turn.conversation) is WaitingState.HELD
    assert waiting_messages.send_now(turn.conversation, LIMITS)
    assert texts(turn.conversation)[2] == "Two"


def test_send_now_stops_queued_answer_and_posts_at_once(people: People) -> None:
    turn = start(people.alice)
    send(people.alice, turn.conversation)
    assert waiting_messages.send_now(turn.conversation, LIMITS)
    assert messages.get(people.alice, turn.answer.public_id).status is Status.STOPPED
    assert texts(turn.conversation)[2] == "Two"


def test_send_now_posts_when_runner_has_stopped(people: People) -> None:
    turn = start(people.alice)
    send(people.alice, turn.conversation)
    [claim] = generation_leases.claim("runner", 1, 60, max_attempts=2)
    assert waiting_messages.send_now(turn.conversation, LIMITS) is None
    assert state(turn.conversation) is WaitingState.SENDING
    assert waiting_messages.post_due(LIMITS) == 0
    assert generation_leases.list_held("runner") == {claim.generation_id: True}
    news = GenerationUpdate(claim.attempts, text="Part", status=Status.STOPPED)
    generation_leases.heartbeat("runner", {claim.generation_id: news}, 60)
    assert waiting_messages.post_due(LIMITS) == 1
    assert texts(turn.conversation) == ["One", "Part", "Two", ""]


def test_send_now_survives_death_of_runner(people: People) -> None:
    turn = start(people.alice)
    send(people.alice, turn.conversation)
    generation_leases.claim("dead runner", 1, 0, max_attempts=2)
    waiting_messages.send_now(turn.conversation, LIMITS)
    generation_leases.claim("runner", 1, 60, max_attempts=2)
    waiting_messages.post_due(LIMITS)
    assert texts(turn.conversation)[2] == "Two"


def test_answer_of_dead_runner_is_awaited(people: People) -> None:
    turn = start(people.alice)
    send(people.alice, turn.conversation)
    generation_leases.claim("dead runner", 1, 0, max_attempts=2)
    assert waiting_messages.post_due(LIMITS) == 0
    end_answers()
    # And whoever ended the answer may have died before it looked.
    assert waiting_messages.post_due(LIMITS) == 1
    assert texts(turn.conversation)[2] == "Two"


def test_two_runners_post_it_once(any_app: Flask) -> None:
    with any_app.app_context():
        alice = users.get_or_create_by_token("alice")
        turns = [start(alice, f"Question {number}") for number in range(3)]
        conversation_ids = [turn.conversation.id for turn in turns]
        for turn in turns:
            send(alice, turn.conversation, "Next", "k")
        end_answers()
        db.session.remove()
    gate, errors = threading.Barrier(3), []

    def look() -> None:
        try:
            with any_app.app_context():
                gate.wait()
                waiting_messages.post_due(LIMITS)
                db.session.remove()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with any_app.app_context():
        for conversation_id in conversation_ids:
            count = select(func.count()).where(Message.conversation_id == conversation_id)
            assert db.session.scalar(count) == 4
        assert db.session.scalar(select(func.count()).select_from(WaitingMessage)) == 0
        db.session.remove()


def test_model_and_settings_of_the_sending_apply(people: People) -> None:
    turn = start(people.alice)
    early = ChatSettings("Pirate", "Talk like a pirate.", {"seed": 1})
    chat_settings.update(turn.conversation, early)
    send(people.alice, turn.conversation, choice=ModelChoice("scripted", "precise"))
    chat_settings.update(turn.conversation, ChatSettings("Poet", "Rhyme.", {}))
    chat_settings.set_model(turn.conversation, ModelChoice("other", "creative"))
    end_answers()
    waiting_messages.post_due(LIMITS)
    conversation = conversations.get(people.alice, turn.conversation.public_id)
    generation = message_pages.page_before(conversation).messages[-1].generation
    assert generation
    assert (generation.model, generation.preset) == ("scripted", "precise")
    assert chat_settings.read_from(generation) == early
    assert (conversation.model, conversation.persona) == ("other", "Poet")


def test_refused_message_stays_with_its_reason(people: People) -> None:
    turn = start(people.alice)
    send(people.alice, turn.conversation)
    end_answers()
    waiting_messages.post_due(replace(LIMITS, max_queued_per_user=0))
    waiting = waiting_messages.find(turn.conversation.id)
    assert waiting
    assert waiting.error == UserQueueFullError()
    assert state(turn.conversation) is WaitingState.HELD
    assert waiting_messages.post_due(LIMITS) == 0
    with pytest.raises(QueueFullError):
        waiting_messages.send_now(turn.conversation, replace(LIMITS, max_queued=0))
    assert state(turn.conversation) is WaitingState.HELD
    waiting_messages.send_now(turn.conversation, LIMITS)
    assert texts(turn.conversation)[2] == "Two"


def test_network_limit_counts_for_waiting_messages_of_its_users(people: People) -> None:
    turns = [start(user) for user in (people.alice, people.bob)]
    for user, turn in zip((people.alice, people.bob), turns, strict=True):
        send(user, turn.conversation)
    end_answers()
    alice = db.session.get_one(User, people.alice.id)
    alice.network_key = "net"
    db.session.commit()
    waiting_messages.post_due(LIMITS, max_queued_per_network=0)
    assert state(turns[0].conversation) is WaitingState.HELD
    assert texts(turns[1].conversation)[2] == "Two"


def test_unexpected_error_holds_one_message_and_no_other(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = [start(people.alice, text) for text in ("One", "Uno")]
    for turn in turns:
        send(people.alice, turn.conversation)
    end_answers()
    store = exchanges.store

    def fail_first(tx: Any, conversation: Conversation, *args: Any, **options: Any) -> Exchange:
        if conversation.id == turns[0].conversation.id:
            raise RuntimeError
        return store(tx, conversation, *args, **options)

    monkeypatch.setattr(exchanges, "store", fail_first)
    waiting_messages.post_due(LIMITS)
    assert state(turns[0].conversation) is WaitingState.HELD
    assert texts(turns[1].conversation)[2] == "Two"


@pytest.mark.parametrize(
    ("text", "error"), [("", EmptyMessageError), (" \n", EmptyMessageError), ("x" * 9000, MessageTooLongError)]
)
def test_invalid_text_does_not_wait(people: People, text: str, error: type[Exception]) -> None:
    turn = start(people.alice)
    with pytest.raises(error):
        send(people.alice, turn.conversation, text)
    assert state(turn.conversation) is None


def test_addition_that_is_too_long_changes_nothing(people: People) -> None:
    turn = start(people.alice)
    send(people.alice, turn.conversation, "x" * 5000)
    with pytest.raises(MessageTooLongError):
        send(people.alice, turn.conversation, "y" * 5000)
    waiting = waiting_messages.find(turn.conversation.id)
    assert waiting
    assert waiting.text == "x" * 5000


def test_edit_puts_it_before_the_draft(people: People) -> None:
    turn = start(people.alice)
    send(people.alice, turn.conversation, "Two")
    drafts.save(turn.conversation, "Three", "", idempotency_key="k3", max_message_chars=8000)
    with pytest.raises(DraftTooLongError):
        waiting_messages.move_to_draft(turn.conversation, 4)
    assert waiting_messages.move_to_draft(turn.conversation, 8000) == "Two"
    assert drafts.get_text(conversations.get(people.alice, turn.conversation.public_id)) == "Two\n\nThree"
    assert state(turn.conversation) is None
    assert waiting_messages.move_to_draft(turn.conversation, 8000) == ""


def test_draft_of_the_form_is_gone_and_others_stay(people: People) -> None:
    turn = start(people.alice)
    version = drafts.save(turn.conversation, "Two", "", idempotency_key="k2", max_message_chars=8000)
    send(people.alice, turn.conversation, "Two", "k2", draft_version=version)
    conversation = conversations.get(people.alice, turn.conversation.public_id)
    assert drafts.get_text(conversation) == ""
    # A save that left before the form arrives after it.
    drafts.save(conversation, "Tw", "", idempotency_key="k2", max_message_chars=8000)
    assert drafts.get_text(conversations.get(people.alice, turn.conversation.public_id)) == ""


def test_removed_message_is_not_posted(people: People) -> None:
    turn = start(people.alice)
    send(people.alice, turn.conversation)
    waiting_messages.remove(turn.conversation)
    waiting_messages.remove(turn.conversation)
    end_answers()
    assert waiting_messages.post_due(LIMITS) == 0
    assert waiting_messages.send_now(turn.conversation, LIMITS) is None
