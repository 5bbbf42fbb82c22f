"""Titles by models as they are stored: due after an answer, held by leases, and never in place of a person's."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select, update

from chatsite.database import db, utcnow, write_transaction
from chatsite.models import Conversation, Status, TitleRequest, TitleSource, User
from chatsite.services import undo
from chatsite.services.accounts import users
from chatsite.services.chat import (
    branch_copies,
    conversations,
    generation_leases,
    generations,
    messages,
    reruns,
    title_requests,
)
from chatsite.services.chat.generation_update import GenerationUpdate
from chatsite.services.chat.messages import Exchange
from chatsite.services.chat.title_requests import ClaimedTitle
from chatsite.services.models.choice import ModelChoice
from chatsite.services.organize import trash
from tests.conftest import LIMITS, People
from tests.support.deleting import destroy

MODEL = "qwen3-0.6b"


def start(user: User, text: str = "How do rainbows form?", **options: Any) -> Exchange:
    new = messages.NewConversation("By rule", wants_model_title=True, **options)
    choice = ModelChoice(MODEL)
    return messages.start_conversation(user, new, messages.NewMessage(text), limits=LIMITS, choice=choice)


def end_answers(status: Status = Status.DONE) -> None:
    """End all answers, as a runner does."""
    for claim in generation_leases.claim("runner", 10, 60, max_attempts=2):
        news = GenerationUpdate(claim.attempts, text="By light.", status=status, finish_reason="end")
        generation_leases.heartbeat("runner", {claim.generation_id: news}, 60)


def answered(user: User, **options: Any) -> Conversation:
    conversation = start(user, **options).conversation
    end_answers()
    return conversation


def claim(owner: str = "runner", seconds: float = 60, **options: Any) -> ClaimedTitle | None:
    return title_requests.claim(owner, seconds, **{"max_attempts": 2, "can_write": lambda model: True, **options})


def get_claimed(owner: str = "runner", seconds: float = 60) -> ClaimedTitle:
    claimed = claim(owner, seconds)
    assert claimed
    return claimed


def look(conversation: Conversation) -> tuple[str, TitleSource]:
    row = db.session.get_one(Conversation, conversation.id, populate_existing=True)
    return row.title, row.title_source


def count_requests() -> int:
    db.session.rollback()
    return db.session.scalar(select(func.count()).select_from(TitleRequest)) or 0


def test_title_is_asked_for_when_first_answer_is_done(people: People) -> None:
    conversation = start(people.alice).conversation
    assert look(conversation) == ("By rule", TitleSource.RULE)
    assert not title_requests.has_work()
    assert claim() is None
    end_answers()
    assert title_requests.has_work()
    claimed = get_claimed()
    assert (claimed.question, claimed.answer, claimed.model) == ("How do rainbows form?", "By light.", MODEL)
    assert title_requests.finish("runner", claimed, "Rainbows")
    assert look(conversation) == ("Rainbows", TitleSource.MODEL)
    assert count_requests() == 0
    # What is stored already is not stored again, as after a broken connection.
    assert not title_requests.finish("runner", claimed, "Again")
    assert look(conversation)[0] == "Rainbows"


@pytest.mark.parametrize("status", [Status.STOPPED, Status.FAILED, Status.INTERRUPTED])
def test_answer_that_is_not_done_asks_for_nothing_until_it_is(people: People, status: Status) -> None:
    turn = start(people.alice)
    end_answers(status)
    assert not title_requests.has_work()
    reruns.queue(messages.get(people.alice, turn.answer.public_id), False, LIMITS)
    end_answers()
    assert claim()


def test_title_takes_no_part_in_conversation(people: People) -> None:
    conversation = answered(people.alice)
    before = db.session.get_one(Conversation, conversation.id, populate_existing=True).updated_at
    title_requests.finish("runner", get_claimed(), "Rainbows")
    row = db.session.get_one(Conversation, conversation.id, populate_existing=True)
    assert row.updated_at == before
    assert not generations.has_answer_in_progress(row.id)
    assert [each.title for each in conversations.list_page(people.alice).items] == ["Rainbows"]


def test_unusable_text_leaves_title_of_rule(people: People) -> None:
    conversation = answered(people.alice)
    assert not title_requests.finish("runner", get_claimed(), "")
    assert look(conversation) == ("By rule", TitleSource.RULE)
    assert count_requests() == 0


@pytest.mark.parametrize("is_claimed", [False, True])
def test_title_of_person_is_never_replaced(people: People, is_claimed: bool) -> None:
    conversation = answered(people.alice)
    claimed = get_claimed() if is_claimed else None
    conversations.rename(conversation, "By rule")
    assert not title_requests.has_work()
    if claimed:
        assert not title_requests.finish("runner", claimed, "Rainbows")
    assert claim() is None
    assert look(conversation) == ("By rule", TitleSource.PERSON)


def test_undo_of_rename_gives_title_back_with_its_source(people: People) -> None:
    conversation = answered(people.alice)
    title_requests.finish("runner", get_claimed(), "Rainbows")
    change = conversations.rename(conversation, "Mine")
    assert look(conversation) == ("Mine", TitleSource.PERSON)
    undo.undo_change(people.alice, change.public_id)
    assert look(conversation) == ("Rainbows", TitleSource.MODEL)


def test_lease_of_dead_runner_is_taken_over(people: People) -> None:
    conversation = answered(people.alice)
    dead = get_claimed("dead", -1)
    assert claim("other", may_reap=False) is None
    other = get_claimed("other")
    assert other.attempts == 2
    assert not title_requests.heartbeat("dead", dead, 60)
    assert not title_requests.finish("dead", dead, "Dead")
    assert title_requests.heartbeat("other", other, 60)
    assert claim("third") is None
    assert title_requests.finish("other", other, "Rainbows")
    assert look(conversation)[0] == "Rainbows"


def test_lease_from_before_the_clock_was_set_back_ends(people: People) -> None:
    answered(people.alice)
    assert claim("dead", 3600)
    assert not title_requests.has_work("other", 4000)
    assert title_requests.has_work("other", 5)
    assert claim("other", 5) is None
    # Now it ends as a lease that was given now.
    assert not title_requests.has_work("other", 5)
    assert claim("other", 5, may_reap=False) is None
    with write_transaction() as tx:
        tx.execute(update(TitleRequest).values(lease_until=utcnow() - timedelta(seconds=1)))
    assert not title_requests.has_work("other", 5, may_reap=False)
    assert claim("other", 5)


def test_request_that_killed_runners_is_given_up(people: People) -> None:
    conversation = answered(people.alice)
    for owner in ("first", "second"):
        assert claim(owner, -1)
    assert claim("third") is None
    assert count_requests() == 0
    assert look(conversation) == ("By rule", TitleSource.RULE)


def test_released_attempt_does_not_count(people: People) -> None:
    answered(people.alice)
    for _ in range(5):
        assert get_claimed().attempts == 1
        title_requests.release("runner")
    # One that was claimed though the runner never learned of it is claimed by it again.
    assert claim()
    assert claim()


def test_model_that_cannot_is_not_asked(people: People) -> None:
    answered(people.alice)
    assert claim(can_write=lambda model: model != MODEL) is None
    assert count_requests() == 0


def test_oldest_comes_first(people: People) -> None:
    first, second = answered(people.alice), answered(people.bob)
    assert [get_claimed("a").conversation_id, get_claimed("b").conversation_id] == [first.id, second.id]


def test_given_up_requests_are_deleted_unless_held(people: People) -> None:
    answered(people.alice)
    held = get_claimed()
    answered(people.alice)
    start(people.bob)
    assert title_requests.give_up() == 1
    # One is held, and one is not due.
    assert count_requests() == 2
    assert title_requests.heartbeat("runner", held, 60)


def test_old_requests_are_deleted(people: People) -> None:
    start(people.alice)
    assert not title_requests.delete_expired()
    assert count_requests() == 1
    with write_transaction() as tx:
        tx.execute(update(TitleRequest).values(created_at=utcnow() - title_requests.MAX_AGE - timedelta(seconds=1)))
    assert title_requests.delete_expired(1)
    assert count_requests() == 0


def test_nothing_is_asked_for_in_temporary_chat_or_trash(people: People) -> None:
    start(people.alice, is_temporary=True)
    assert count_requests() == 0
    conversation = answered(people.alice)
    claimed = get_claimed()
    trash.move_to_trash(people.alice, [conversation.public_id])
    assert not title_requests.has_work()
    assert not title_requests.finish("runner", claimed, "Rainbows")
    assert look(conversation)[0] == "By rule"


def test_request_is_deleted_with_its_conversation(people: People) -> None:
    destroy(answered(people.alice))
    assert count_requests() == 0


def test_fork_asks_for_nothing(people: People) -> None:
    turn = start(people.alice)
    end_answers()
    claimed = get_claimed()
    fork = branch_copies.fork_conversation(people.alice, messages.get(people.alice, turn.answer.public_id))
    title_requests.finish("runner", claimed, "Rainbows")
    assert look(fork)[0] == "By rule"
    assert count_requests() == 0


def test_page_looks_for_titles_of_its_user_that_are_due(people: People) -> None:
    conversation = start(people.alice).conversation
    assert title_requests.list_pending(people.alice) == []
    end_answers()
    assert title_requests.list_pending(people.alice) == [conversation.public_id]
    assert title_requests.list_pending(people.bob) == []
    title_requests.finish("runner", get_claimed(), "Rainbows")
    assert title_requests.list_pending(people.alice) == []


def at_the_same_time(app: Flask, *actions: Callable[[], object]) -> None:
    """Run actions in threads that begin together."""
    barrier = threading.Barrier(len(actions))
    errors: list[Exception] = []

    def run(action: Callable[[], object]) -> None:
        with app.app_context():
            barrier.wait()
            try:
                action()
            except Exception as error:  # The test says what went wrong.
                errors.append(error)
            db.session.remove()

    threads = [threading.Thread(target=run, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_person_who_renames_while_title_is_stored_wins(any_app: Flask) -> None:
    with any_app.app_context():
        alice = users.get_or_create_by_token("alice")
        for number in range(8):
            conversation = answered(alice)
            claimed, name = get_claimed(), conversation.public_id
            at_the_same_time(
                any_app,
                lambda name=name, number=number: conversations.rename(  # type: ignore[misc]
                    conversations.get(users.get_or_create_by_token("alice"), name), f"Mine {number}"
                ),
                lambda claimed=claimed: title_requests.finish("runner", claimed, "Rainbows"),  # type: ignore[misc]
            )
            db.session.rollback()
            assert look(conversation) == (f"Mine {number}", TitleSource.PERSON)
            assert count_requests() == 0


def test_two_runners_never_hold_one_request(any_app: Flask) -> None:
    with any_app.app_context():
        alice = users.get_or_create_by_token("alice")
        for _ in range(6):
            answered(alice)
            held: dict[str, ClaimedTitle | None] = {}
            at_the_same_time(
                any_app,
                *(lambda owner=owner, held=held: held.update({owner: claim(owner)}) for owner in ("a", "b")),
            )
            [won] = [each for each in held.values() if each]
            db.session.rollback()
            assert [title_requests.finish(owner, won, "T") for owner in ("a", "b")].count(True) == 1
