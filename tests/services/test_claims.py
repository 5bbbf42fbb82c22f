"""Claims, leases, attempts, fairness: what makes an answer impossible to lose."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update

from chatsite.database import db, now, write
from chatsite.engine import Turn
from chatsite.errors import NotRepeatableError
from chatsite.models import Chunk, Generation, Message, Status, User
from chatsite.services import changes, claims, generations, messages
from chatsite.services.claims import Claim, Written
from tests.conftest import LIMITS, People


def ask(user: User, token: str, text: str = "Hi") -> Message:
    return messages.start(user, text, token, text, LIMITS).answer


def claim_one(owner: str = "first", attempts: int = 2) -> Claim:
    [claim] = claims.claim(owner, 1, 5, attempts)
    return claim


def say(claim: Claim, text: str, owner: str = "first", **more: object) -> set[int]:
    news = Written(claim.attempt, text=text, tokens=len(text.split()), **more)  # type: ignore[arg-type]
    return claims.record(owner, {claim.generation_id: news}, 5)


def kill(owner: str) -> None:
    """Let the lease of a runner that was killed run out."""
    with write() as session:
        session.execute(update(Generation).where(Generation.owner == owner).values(lease_until=now() - timedelta(1)))


def fresh(message: Message, user: User) -> Message:
    return messages.get(user, message.public_id)


def test_a_claim_has_the_conversation_so_far(people: People) -> None:
    turn = messages.start(people.alice, "One", "t1", "One", LIMITS)
    say(claim_one(), "First.", status=Status.DONE, reason="end")
    messages.post(people.alice, turn.conversation, "Two", "t2", LIMITS)
    claim = claim_one()
    assert claim.turns == (Turn("user", "One"), Turn("assistant", "First."), Turn("user", "Two"))
    assert (claim.attempt, claim.prefix, claim.tokens) == (1, "", 0)


def test_what_is_written_can_be_followed_and_then_settles(people: People) -> None:
    answer = ask(people.alice, "t1")
    claim = claim_one()
    say(claim, "Hello ")
    [change] = changes.follow({claim.generation_id: 0})
    assert (change.status, change.text, change.seq, change.tokens) == (Status.GENERATING, "Hello ", 1, 1)
    say(claim, "world")
    [change] = changes.follow({claim.generation_id: 1})
    assert (change.text, change.seq) == ("world", 2)
    say(claim, ".", status=Status.DONE, reason="end")
    message = fresh(answer, people.alice)
    assert (message.text, message.status) == ("Hello world.", Status.DONE)
    assert db.session.query(Chunk).count() == 0


def test_a_dead_runners_answer_goes_on_where_it_stopped(people: People) -> None:
    answer = ask(people.alice, "t1")
    say(claim_one(), "Half ")
    kill("first")
    second = claim_one("second")
    assert (second.attempt, second.prefix, second.tokens) == (2, "Half ", 1)
    say(second, "done", "second", status=Status.DONE, reason="end")
    assert fresh(answer, people.alice).text == "Half done"


def test_the_next_attempt_draws_with_the_same_seed(people: People) -> None:
    ask(people.alice, "t1")
    first = claim_one()
    assert first.seed is None
    say(first, "Half", receipt={"options": {"seed": 4711}})
    kill("first")
    assert claim_one("second").seed == 4711


def test_who_was_taken_for_dead_writes_no_more(people: People) -> None:
    answer = ask(people.alice, "t1")
    first = claim_one()
    kill("first")
    second = claim_one("second")
    assert say(first, "ghost") == {first.generation_id}
    assert say(first, "ghost", "second") == {first.generation_id}
    say(second, "real", "second", status=Status.DONE, reason="end")
    assert fresh(answer, people.alice).text == "real"


def test_the_second_death_interrupts_and_keeps_the_text(people: People) -> None:
    answer = ask(people.alice, "t1")
    say(claim_one(), "Some ")
    kill("first")
    say(claim_one("second"), "text", "second")
    kill("second")
    assert claims.claim("third", 1, 5, 2) == []
    message = fresh(answer, people.alice)
    assert (message.status, message.text) == (Status.INTERRUPTED, "Some text")
    assert generations.can_retry(message)
    assert generations.can_continue(message)


def test_a_lease_is_renewed_by_every_record(people: People) -> None:
    ask(people.alice, "t1")
    claim = claim_one()
    with write() as session:
        session.execute(update(Generation).values(lease_until=now() - timedelta(1)))
    assert claims.record("first", {}, 5) == set()
    assert claims.claim("second", 1, 5, 2) == []
    assert claims.standing("first") == {claim.generation_id: False}


def test_release_hands_back_without_counting_the_attempt(people: People) -> None:
    ask(people.alice, "t1")
    say(claim_one(), "Half ")
    claims.release("first")
    second = claim_one("second")
    assert (second.attempt, second.prefix) == (1, "Half ")


def test_stop_of_a_waiting_answer_is_immediate(people: People) -> None:
    answer = ask(people.alice, "t1")
    generations.stop(answer)
    assert fresh(answer, people.alice).status is Status.STOPPED
    assert claims.claim("first", 1, 5, 2) == []


def test_stop_of_a_running_answer_reaches_its_runner(people: People) -> None:
    answer = ask(people.alice, "t1")
    claim = claim_one()
    generations.stop(answer)
    assert claims.standing("first") == {claim.generation_id: True}
    say(claim, "Half", status=Status.STOPPED, reason="cancelled")
    message = fresh(answer, people.alice)
    assert (message.status, message.text) == (Status.STOPPED, "Half")


def test_stop_settles_what_a_dead_runner_left(people: People) -> None:
    answer = ask(people.alice, "t1")
    say(claim_one(), "Half")
    kill("first")
    generations.stop(answer)
    message = fresh(answer, people.alice)
    assert (message.status, message.text) == (Status.STOPPED, "Half")


def test_a_stop_that_its_dead_runner_never_saw_counts(people: People) -> None:
    answer = ask(people.alice, "t1")
    say(claim_one(), "Half")
    generations.stop(answer)
    kill("first")
    assert claims.claim("second", 1, 5, 2) == []
    assert fresh(answer, people.alice).status is Status.STOPPED


def test_stop_of_a_finished_answer_changes_nothing(people: People) -> None:
    answer = ask(people.alice, "t1")
    say(claim_one(), "Done", status=Status.DONE, reason="end")
    generations.stop(fresh(answer, people.alice))
    assert fresh(answer, people.alice).status is Status.DONE


def test_claims_are_fair(people: People) -> None:
    """Whoever has many questions does not starve who has one."""
    many = [ask(people.alice, f"t{number}") for number in range(3)]
    one = ask(people.bob, "t1")
    order = [claims.claim("runner", 1, 5, 2)[0].generation_id for _ in range(4)]
    names = {message.generation.id: message for message in [fresh(m, people.alice) for m in many]}  # type: ignore[union-attr]
    bobs = fresh(one, people.bob).generation.id  # type: ignore[union-attr]
    assert order.index(bobs) == 1
    assert [generation for generation in order if generation in names] == sorted(names)


def test_positions_count_from_one_in_claim_order(people: People) -> None:
    first, second = ask(people.alice, "t1"), ask(people.alice, "t2")
    bobs = ask(people.bob, "t1")
    known = {
        fresh(message, user).generation.id: 0  # type: ignore[union-attr]
        for message, user in [(first, people.alice), (second, people.alice), (bobs, people.bob)]
    }
    places = {change.id: change.position for change in changes.follow(known)}
    assert list(places.values()) == [1, 3, 2]


def test_a_retry_starts_anew(people: People) -> None:
    answer = ask(people.alice, "t1")
    say(claim_one(), "Broken", status=Status.FAILED, reason="error", error="It broke.")
    generations.repeat(fresh(answer, people.alice), keep_text=False, limits=LIMITS)
    claim = claim_one()
    assert (claim.prefix, claim.attempt) == ("", 1)
    say(claim, "Whole", status=Status.DONE, reason="end")
    message = fresh(answer, people.alice)
    assert (message.text, message.status) == ("Whole", Status.DONE)


def test_a_continue_goes_on_after_the_text(people: People) -> None:
    answer = ask(people.alice, "t1")
    say(claim_one(), "One", status=Status.DONE, reason="length")
    message = fresh(answer, people.alice)
    assert generations.can_continue(message)
    assert not generations.can_retry(message)
    generations.repeat(message, keep_text=True, limits=LIMITS)
    claim = claim_one()
    assert claim.prefix == "One"
    say(claim, " two", status=Status.DONE, reason="end")
    assert fresh(answer, people.alice).text == "One two"


def test_a_repeat_made_twice_is_one(people: People) -> None:
    answer = ask(people.alice, "t1")
    say(claim_one(), "Broken", status=Status.FAILED, reason="error")
    for _ in range(2):
        generations.repeat(fresh(answer, people.alice), keep_text=False, limits=LIMITS)
    assert len(claims.claim("first", 5, 5, 2)) == 1


def test_a_finished_answer_cannot_be_repeated(people: People) -> None:
    answer = ask(people.alice, "t1")
    say(claim_one(), "Done", status=Status.DONE, reason="end")
    for keep_text in (True, False):
        with pytest.raises(NotRepeatableError):
            generations.repeat(fresh(answer, people.alice), keep_text=keep_text, limits=LIMITS)


def test_only_the_last_answer_can_be_repeated(people: People) -> None:
    turn = messages.start(people.alice, "One", "t1", "One", LIMITS)
    say(claim_one(), "Broken", status=Status.FAILED, reason="error")
    failed = turn.answer
    messages.post(people.alice, turn.conversation, "Two", "t2", LIMITS)
    with pytest.raises(NotRepeatableError):
        generations.repeat(fresh(failed, people.alice), keep_text=False, limits=LIMITS)


def test_follow_says_nothing_of_what_was_deleted(people: People) -> None:
    assert changes.follow({4711: 0}) == []
    assert changes.follow({}) == []


def test_speed_and_first_token_are_kept(people: People) -> None:
    answer = ask(people.alice, "t1")
    claim = claim_one()
    say(claim, "one two three")
    say(claim, " four", status=Status.DONE, reason="end", receipt={"model": "scripted"})
    generation = fresh(answer, people.alice).generation
    assert generation is not None
    assert generation.tokens == 4
    assert generation.first_token_at is not None
    assert generation.tokens_per_second is not None
    assert generation.receipt == {"model": "scripted"}
