"""Claims, leases, attempts, fairness: what makes an answer impossible to lose."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from chatsite.database import db, utcnow, write_transaction
from chatsite.engine.types import Turn
from chatsite.errors import CannotRerunError
from chatsite.models import Chunk, Generation, Message, RunnerState, Status, User
from chatsite.services import leases
from chatsite.services.chat import (
    generation_leases,
    generation_progress,
    generations,
    messages,
    reruns,
)
from chatsite.services.chat.generation_leases import ClaimedGeneration
from chatsite.services.chat.generation_update import GenerationUpdate
from chatsite.services.models import runners
from tests.conftest import LIMITS, People


def ask(user: User, token: str, text: str = "Hi") -> Message:
    return messages.start_conversation(
        user, messages.NewConversation(text), messages.NewMessage(text, token), limits=LIMITS
    ).answer


def claim_one(owner: str = "first", attempts: int = 2) -> ClaimedGeneration:
    [claim] = generation_leases.claim(owner, 1, 5, max_attempts=attempts)
    return claim


def say(claim: ClaimedGeneration, text: str, owner: str = "first", **more: object) -> set[int]:
    news = GenerationUpdate(claim.attempts, text=text, new_tokens=len(text.split()), **more)  # type: ignore[arg-type]
    return generation_leases.heartbeat(owner, {claim.generation_id: news}, 5)


def kill(owner: str) -> None:
    """Let the lease of a runner that was killed run out."""
    with write_transaction() as session:
        session.execute(
            update(Generation).where(Generation.lease_owner == owner).values(lease_until=utcnow() - timedelta(1))
        )


def fresh(message: Message, user: User) -> Message:
    return messages.get(user, message.public_id)


def test_lease_includes_conversation_so_far(people: People) -> None:
    turn = messages.start_conversation(
        people.alice, messages.NewConversation("One"), messages.NewMessage("One", "t1"), limits=LIMITS
    )
    say(claim_one(), "First.", status=Status.DONE, finish_reason="end")
    messages.post_message(people.alice, turn.conversation, messages.NewMessage("Two", "t2"), limits=LIMITS)
    claim = claim_one()
    assert claim.messages == (Turn("user", "One"), Turn("assistant", "First."), Turn("user", "Two"))
    assert (claim.attempts, claim.prefix_text, claim.token_count) == (1, "", 0)


def test_progress_is_streamed_then_merged_into_message(people: People) -> None:
    answer = ask(people.alice, "t1")
    claim = claim_one()
    say(claim, "Hello ")
    [change] = generation_progress.take_snapshots({claim.generation_id: 0})
    assert (change.status, change.text, change.last_seq, change.token_count) == (Status.GENERATING, "Hello ", 1, 1)
    say(claim, "world")
    [change] = generation_progress.take_snapshots({claim.generation_id: 1})
    assert (change.text, change.last_seq) == ("world", 2)
    say(claim, ".", status=Status.DONE, finish_reason="end")
    message = fresh(answer, people.alice)
    assert (message.text, message.status) == ("Hello world.", Status.DONE)
    assert db.session.query(Chunk).count() == 0


def test_expired_lease_resumes_from_partial_text(people: People) -> None:
    answer = ask(people.alice, "t1")
    say(claim_one(), "Half ")
    kill("first")
    second = claim_one("second")
    assert (second.attempts, second.prefix_text, second.token_count) == (2, "Half ", 1)
    say(second, "done", "second", status=Status.DONE, finish_reason="end")
    assert fresh(answer, people.alice).text == "Half done"


def test_next_attempt_reuses_seed(people: People) -> None:
    ask(people.alice, "t1")
    first = claim_one()
    assert first.seed is None
    say(first, "Half", prompt_report={"options": {"seed": 4711}})
    kill("first")
    assert claim_one("second").seed == 4711


def test_expired_lease_holder_cannot_write(people: People) -> None:
    answer = ask(people.alice, "t1")
    first = claim_one()
    kill("first")
    second = claim_one("second")
    assert say(first, "ghost") == {first.generation_id}
    assert say(first, "ghost", "second") == {first.generation_id}
    say(second, "real", "second", status=Status.DONE, finish_reason="end")
    assert fresh(answer, people.alice).text == "real"


def test_second_runner_loss_interrupts_and_keeps_text(people: People) -> None:
    answer = ask(people.alice, "t1")
    say(claim_one(), "Some ")
    kill("first")
    say(claim_one("second"), "text", "second")
    kill("second")
    assert generation_leases.claim("third", 1, 5, max_attempts=2) == []
    message = fresh(answer, people.alice)
    assert (message.status, message.text) == (Status.INTERRUPTED, "Some text")
    assert generations.can_retry(message)
    assert generations.can_continue(message)


def test_every_record_renews_lease(people: People) -> None:
    ask(people.alice, "t1")
    claim = claim_one()
    with write_transaction() as session:
        session.execute(update(Generation).values(lease_until=utcnow() - timedelta(1)))
    assert generation_leases.heartbeat("first", {}, 5) == set()
    assert generation_leases.claim("second", 1, 5, max_attempts=2) == []
    assert generation_leases.list_held("first") == {claim.generation_id: False}


def test_release_does_not_count_as_attempt(people: People) -> None:
    ask(people.alice, "t1")
    say(claim_one(), "Half ")
    generation_leases.release("first")
    second = claim_one("second")
    assert (second.attempts, second.prefix_text) == (1, "Half ")


def test_stop_of_queued_generation_is_immediate(people: People) -> None:
    answer = ask(people.alice, "t1")
    generations.stop(answer)
    assert fresh(answer, people.alice).status is Status.STOPPED
    assert generation_leases.claim("first", 1, 5, max_attempts=2) == []


def test_stop_of_running_generation_reaches_runner(people: People) -> None:
    answer = ask(people.alice, "t1")
    claim = claim_one()
    generations.stop(answer)
    assert generation_leases.list_held("first") == {claim.generation_id: True}
    say(claim, "Half", status=Status.STOPPED, finish_reason="cancelled")
    message = fresh(answer, people.alice)
    assert (message.status, message.text) == (Status.STOPPED, "Half")


def test_stop_finishes_generation_of_dead_runner(people: People) -> None:
    answer = ask(people.alice, "t1")
    say(claim_one(), "Half")
    kill("first")
    generations.stop(answer)
    message = fresh(answer, people.alice)
    assert (message.status, message.text) == (Status.STOPPED, "Half")


def test_stop_request_survives_dead_runner(people: People) -> None:
    answer = ask(people.alice, "t1")
    say(claim_one(), "Half")
    generations.stop(answer)
    kill("first")
    assert generation_leases.claim("second", 1, 5, max_attempts=2) == []
    assert fresh(answer, people.alice).status is Status.STOPPED


def test_stop_of_finished_answer_changes_nothing(people: People) -> None:
    answer = ask(people.alice, "t1")
    say(claim_one(), "Done", status=Status.DONE, finish_reason="end")
    generations.stop(fresh(answer, people.alice))
    assert fresh(answer, people.alice).status is Status.DONE


def test_leases_alternate_between_users(people: People) -> None:
    """Whoever has many questions does not starve who has one."""
    many = [ask(people.alice, f"t{number}") for number in range(3)]
    one = ask(people.bob, "t1")
    order = [generation_leases.claim("runner", 1, 5, max_attempts=2)[0].generation_id for _ in range(4)]
    names = {message.generation.id: message for message in [fresh(m, people.alice) for m in many]}  # type: ignore[union-attr]
    bobs = fresh(one, people.bob).generation.id  # type: ignore[union-attr]
    assert order.index(bobs) == 1
    assert [generation for generation in order if generation in names] == sorted(names)


def test_queue_positions_start_at_one_in_lease_order(people: People) -> None:
    first, second = ask(people.alice, "t1"), ask(people.alice, "t2")
    bobs = ask(people.bob, "t1")
    known = {
        fresh(message, user).generation.id: 0  # type: ignore[union-attr]
        for message, user in [(first, people.alice), (second, people.alice), (bobs, people.bob)]
    }
    places = {change.id: change.queue_position for change in generation_progress.take_snapshots(known)}
    assert list(places.values()) == [1, 3, 2]


def test_retry_discards_previous_text(people: People) -> None:
    answer = ask(people.alice, "t1")
    say(claim_one(), "Broken", status=Status.FAILED, finish_reason="error", error="It broke.")
    reruns.queue(fresh(answer, people.alice), keep_text=False, limits=LIMITS)
    claim = claim_one()
    assert (claim.prefix_text, claim.attempts) == ("", 1)
    say(claim, "Whole", status=Status.DONE, finish_reason="end")
    message = fresh(answer, people.alice)
    assert (message.text, message.status) == ("Whole", Status.DONE)


def test_continue_appends_to_text(people: People) -> None:
    answer = ask(people.alice, "t1")
    say(claim_one(), "One", status=Status.DONE, finish_reason="length")
    message = fresh(answer, people.alice)
    assert generations.can_continue(message)
    assert not generations.can_retry(message)
    reruns.queue(message, keep_text=True, limits=LIMITS)
    claim = claim_one()
    assert claim.prefix_text == "One"
    say(claim, " two", status=Status.DONE, finish_reason="end")
    assert fresh(answer, people.alice).text == "One two"


def test_duplicate_retry_queues_one_generation(people: People) -> None:
    answer = ask(people.alice, "t1")
    say(claim_one(), "Broken", status=Status.FAILED, finish_reason="error")
    for _ in range(2):
        reruns.queue(fresh(answer, people.alice), keep_text=False, limits=LIMITS)
    assert len(generation_leases.claim("first", 5, 5, max_attempts=2)) == 1


def test_finished_answer_cannot_be_repeated(people: People) -> None:
    answer = ask(people.alice, "t1")
    say(claim_one(), "Done", status=Status.DONE, finish_reason="end")
    for keep_text in (True, False):
        with pytest.raises(CannotRerunError):
            reruns.queue(fresh(answer, people.alice), keep_text=keep_text, limits=LIMITS)


def test_only_the_last_answer_can_be_repeated(people: People) -> None:
    turn = messages.start_conversation(
        people.alice, messages.NewConversation("One"), messages.NewMessage("One", "t1"), limits=LIMITS
    )
    say(claim_one(), "Broken", status=Status.FAILED, finish_reason="error")
    failed = turn.answer
    messages.post_message(people.alice, turn.conversation, messages.NewMessage("Two", "t2"), limits=LIMITS)
    with pytest.raises(CannotRerunError):
        reruns.queue(fresh(failed, people.alice), keep_text=False, limits=LIMITS)


def test_progress_skips_deleted_generations(people: People) -> None:
    assert generation_progress.take_snapshots({4711: 0}) == []
    assert generation_progress.take_snapshots({}) == []


def test_token_speed_and_first_token_time_are_stored(people: People) -> None:
    answer = ask(people.alice, "t1")
    claim = claim_one()
    say(claim, "one two three")
    say(claim, " four", status=Status.DONE, finish_reason="end", prompt_report={"model": "scripted"})
    generation = fresh(answer, people.alice).generation
    assert generation is not None
    assert generation.token_count == 4
    assert generation.first_token_at is not None
    assert generation.tokens_per_second is not None
    assert generation.prompt_report == {"model": "scripted"}


@pytest.mark.parametrize("any_app", ["postgresql"], indirect=True)
@pytest.mark.parametrize("hours", [1, -1])
def test_leases_end_by_the_clock_of_the_server(people: People, monkeypatch: pytest.MonkeyPatch, hours: int) -> None:
    """A runner with a wrong clock takes nothing away, is seen, and leaves no lease that lasts for hours."""
    answer = ask(people.alice, "t1")
    mine = claim_one()
    with monkeypatch.context() as patch:
        patch.setattr(leases, "utcnow", lambda: utcnow() + timedelta(hours=hours))
        assert generation_leases.claim("wrong", 1, 5, max_attempts=9) == []
        ask(people.alice, "t2")
        [theirs] = generation_leases.claim("wrong", 1, 5, max_attempts=9)
        runners.heartbeat("wrong", "scripted", RunnerState.READY)
        offset = leases.measure_clock_offset()
        assert offset is not None
        assert 0.9 < offset / (3600 * hours) < 1.1
    assert runners.find_current(5) is not None
    assert say(mine, "Done", status=Status.DONE, finish_reason="end") == set()
    assert fresh(answer, people.alice).text == "Done"
    is_due = leases.has_expired(Generation.lease_until, -6) & ~leases.has_expired(Generation.lease_until, 60)
    assert db.session.scalar(select(Generation.id).where(is_due)) == theirs.generation_id


def test_overlong_lease_is_cut(people: People) -> None:
    ask(people.alice, "t1")
    [overlong] = generation_leases.claim("ahead", 1, 3600, max_attempts=2)
    assert generation_leases.has_work(5)
    assert generation_leases.claim("other", 1, 5, max_attempts=2) == []
    assert not generation_leases.has_work(5)
    lease_until = db.session.get_one(Generation, overlong.generation_id, populate_existing=True).lease_until
    assert lease_until
    assert lease_until < utcnow() + timedelta(seconds=60)


def test_release_of_some_keeps_the_others(people: People) -> None:
    first, second = (ask(people.alice, f"t{number}") for number in range(2))
    claims = generation_leases.claim("first", 2, 5, max_attempts=2)
    generation_leases.release("first", [claims[0].generation_id])
    assert fresh(first, people.alice).status is Status.QUEUED
    assert fresh(second, people.alice).status is Status.GENERATING
