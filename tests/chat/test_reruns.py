"""Trying again and continuing beside something else: one answer in progress, on the branch that is read."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from flask import Flask
from sqlalchemy import event, func, select

from chatsite.database import db
from chatsite.errors import AnswerRunningError, CannotRerunError
from chatsite.models import IN_PROGRESS, Conversation, Generation, Message, Status, User
from chatsite.services.accounts import users
from chatsite.services.chat import generation_leases, messages, reruns
from chatsite.services.chat.generation_update import GenerationUpdate
from chatsite.services.chat.messages import Exchange, NewMessage
from chatsite.services.models.choice import ModelChoice
from tests.conftest import LIMITS, People

ROUNDS = 6


def ask(user: User, text: str = "One", **options: object) -> Exchange:
    new = messages.NewConversation(text)
    return messages.start_conversation(user, new, NewMessage(text, **options), limits=LIMITS)  # type: ignore[arg-type]


def end_answers(status: Status = Status.STOPPED) -> None:
    for claim in generation_leases.claim("runner", 10, 60, max_attempts=2):
        news = GenerationUpdate(claim.attempts, text="Part", status=status, finish_reason="end")
        generation_leases.heartbeat("runner", {claim.generation_id: news}, 60)


def fresh(user: User, message: Message) -> Message:
    return messages.get(user, message.public_id)


def count_in_progress() -> int:
    db.session.rollback()
    running = select(func.count()).select_from(Generation).where(Generation.status.in_(IN_PROGRESS))
    return db.session.scalar(running) or 0


@contextmanager
def meeting_writes(app: Flask, count: int) -> Iterator[None]:
    """Let `count` transactions meet before each of them stores anything: after all that they only read and lock.

    One that waits for a lock of another does not come, so that the others go on after a while.
    """
    barrier = threading.Barrier(count)
    met = threading.local()

    def meet(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if statement.startswith(("INSERT", "UPDATE")) and not getattr(met, "done", False):
            met.done = True
            try:
                barrier.wait(0.5)
            except threading.BrokenBarrierError:
                return

    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", meet)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", meet)


def do_together(app: Flask, *actions: Callable[[User], object]) -> list[Exception | None]:
    """Do several things in threads that meet before they write; returns how each of them ended."""
    ends: list[Exception | None] = [None] * len(actions)
    barrier = threading.Barrier(len(actions))

    def run(place: int, action: Callable[[User], object]) -> None:
        with app.app_context():
            user = users.get_or_create_by_token("alice")
            barrier.wait()
            try:
                action(user)
            except Exception as error:  # The test says which ones are right.
                ends[place] = error
            db.session.remove()

    threads = [threading.Thread(target=run, args=each) for each in enumerate(actions)]
    with meeting_writes(app, len(actions)):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return ends


@pytest.mark.parametrize("keep_text", [True, False])
def test_two_reruns_at_the_same_time_make_one(any_app: Flask, keep_text: bool) -> None:
    with any_app.app_context():
        alice = users.get_or_create_by_token("alice")
        for _ in range(ROUNDS):
            name = ask(alice).answer.public_id
            end_answers()
            again = lambda user, name=name: reruns.queue(messages.get(user, name), keep_text, LIMITS)  # noqa: E731
            assert do_together(any_app, again, again) == [None, None]
            assert count_in_progress() == 1
            end_answers()


def test_rerun_beside_post_leaves_one_answer_in_progress(any_app: Flask) -> None:
    """Whoever comes second is told so: there is a question below the answer, or the answer is being written."""
    with any_app.app_context():
        alice = users.get_or_create_by_token("alice")
        for _ in range(ROUNDS):
            turn = ask(alice)
            end_answers()
            name, conversation_id = turn.answer.public_id, turn.conversation.id

            def post(user: User, conversation_id: int = conversation_id) -> None:
                conversation = db.session.get_one(Conversation, conversation_id)
                messages.post_message(user, conversation, NewMessage("Two"), limits=LIMITS)

            def again(user: User, name: str = name) -> None:
                reruns.queue(messages.get(user, name), False, LIMITS)

            ends = do_together(any_app, again, post)
            assert count_in_progress() == 1
            rerun_error, post_error = ends
            assert (rerun_error is None) != (post_error is None)
            assert isinstance(rerun_error or post_error, CannotRerunError | AnswerRunningError)
            end_answers()


def test_two_switches_to_fast_at_the_same_time_make_one(any_app: Flask) -> None:
    with any_app.app_context():
        alice = users.get_or_create_by_token("alice")
        name = ask(alice, "/draft One").answer.public_id
        [claim] = generation_leases.claim("runner", 1, 60, max_attempts=2)
        news = GenerationUpdate(claim.attempts, text="Draft", is_provisional=True, seq=1)
        generation_leases.heartbeat("runner", {claim.generation_id: news}, 60)
        switch = lambda user: reruns.switch_to_fast(messages.get(user, name))  # noqa: E731
        assert do_together(any_app, switch, switch) == [None, None]
        assert count_in_progress() == 1


def test_no_rerun_while_another_version_is_written(people: People) -> None:
    turn = ask(people.alice)
    end_answers()
    messages.regenerate_answer(people.alice, turn.answer, limits=LIMITS)
    with pytest.raises(AnswerRunningError):
        reruns.queue(fresh(people.alice, turn.answer), False, LIMITS)
    assert count_in_progress() == 1
    assert fresh(people.alice, turn.answer).text == "Part"


def test_rerun_activates_the_branch_that_is_read(people: People) -> None:
    turn = ask(people.alice)
    end_answers()
    newer = messages.regenerate_answer(people.alice, turn.answer, limits=LIMITS)
    end_answers(Status.DONE)
    assert db.session.get_one(Conversation, turn.conversation.id, populate_existing=True).active_leaf_id == newer.id
    reruns.queue(fresh(people.alice, turn.answer), True, LIMITS)
    conversation = db.session.get_one(Conversation, turn.conversation.id, populate_existing=True)
    assert conversation.active_leaf_id == turn.answer.id
    assert not fresh(people.alice, newer).is_active


def test_compared_answers_are_tried_again_beside_each_other(people: People) -> None:
    turn = ask(people.alice, compare_with=[ModelChoice("gpt2")])
    end_answers(Status.FAILED)
    first, second = db.session.scalars(
        select(Message).where(Message.parent_id == turn.question.id).order_by(Message.id)
    ).all()
    for answer in (second, first):
        reruns.queue(fresh(people.alice, answer), False, LIMITS)
    assert count_in_progress() == 2
    conversation = db.session.get_one(Conversation, turn.conversation.id, populate_existing=True)
    assert conversation.active_leaf_id == first.id


def test_answer_that_something_follows_takes_no_rerun(people: People) -> None:
    turn = ask(people.alice)
    end_answers()
    assert reruns.find_followed([turn.answer.id]) == set()
    posted = messages.post_message(people.alice, turn.conversation, NewMessage("Two"), limits=LIMITS)
    assert reruns.find_followed([turn.answer.id, posted.answer.id]) == {turn.answer.id}
    assert reruns.find_followed([]) == set()
    end_answers()
    for keep_text in (True, False):
        with pytest.raises(CannotRerunError):
            reruns.queue(fresh(people.alice, turn.answer), keep_text, LIMITS)
