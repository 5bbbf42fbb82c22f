"""Drafts: texts that are not decided yet, for those who write them, watch them, resume them and give them up."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select, update

from chatsite.database import db, utcnow, write_transaction
from chatsite.models import Chunk, Generation, Message, Status
from chatsite.services.chat import (
    generation_leases,
    generation_progress,
    generations,
    messages,
    reruns,
)
from chatsite.services.chat.generation_leases import ClaimedGeneration
from chatsite.services.chat.generation_progress import GenerationSnapshot
from chatsite.services.chat.generation_update import GenerationUpdate
from tests.conftest import LIMITS, People


def ask(people: People, text: str = "Hi") -> Message:
    return messages.start_conversation(
        people.alice, messages.NewConversation(text), messages.NewMessage(text), limits=LIMITS
    ).answer


def claim_one(owner: str = "first") -> ClaimedGeneration:
    [claim] = generation_leases.claim(owner, 1, 60, max_attempts=2)
    return claim


def say(claim: ClaimedGeneration, text: str, owner: str = "first", draft: bool = True, **more: object) -> None:
    news = GenerationUpdate(claim.attempts, text=text, new_tokens=1, is_provisional=draft, **more)  # type: ignore[arg-type]
    generation_leases.heartbeat(owner, {claim.generation_id: news}, 60)


def kill(owner: str) -> None:
    """Let the lease of a runner that was killed run out."""
    with write_transaction() as session:
        session.execute(
            update(Generation).where(Generation.lease_owner == owner).values(lease_until=utcnow() - timedelta(1))
        )


def chunks() -> list[tuple[int, bool, str]]:
    return [(row.seq, row.restarts, row.text) for row in db.session.scalars(select(Chunk).order_by(Chunk.seq))]


def look(claim: ClaimedGeneration, seq: int = 0) -> GenerationSnapshot:
    [change] = generation_progress.take_snapshots({claim.generation_id: seq})
    return change


def fresh(people: People, message: Message) -> Message:
    return messages.get(people.alice, message.public_id)


def test_draft_replaces_previous_text(people: People) -> None:
    answer = ask(people)
    claim = claim_one()
    say(claim, "The cat")
    say(claim, "A dog sat")
    assert chunks() == [(2, True, "A dog sat")]
    say(claim, "A dog sat down.", status=Status.DONE, finish_reason="end")
    assert fresh(people, answer).text == "A dog sat down."
    assert chunks() == []


def test_unchanged_draft_is_not_stored_again(people: People) -> None:
    ask(people)
    claim = claim_one()
    for _ in range(3):
        say(claim, "The cat")
    assert chunks() == [(1, True, "The cat")]
    assert look(claim).token_count == 3


def test_empty_draft_is_stored(people: People) -> None:
    ask(people)
    claim = claim_one()
    say(claim, "", status=None)
    assert chunks() == []
    say(claim, "The cat")
    say(claim, "")
    assert chunks() == [(2, True, "")]


def test_progress_reports_text_restart(people: People) -> None:
    ask(people)
    claim = claim_one()
    say(claim, "The cat")
    first = look(claim)
    assert (first.text, first.last_seq, first.restart_seq, first.is_provisional) == ("The cat", 1, 1, True)
    say(claim, "A dog")
    second = look(claim, first.last_seq).merged_with(first)
    assert (second.text, second.last_seq, second.restart_seq, second.is_provisional) == ("A dog", 2, 2, True)
    nothing = look(claim, second.last_seq)
    assert (nothing.text, nothing.restart_seq) == ("", 0)
    assert nothing.merged_with(second).text == "A dog"
    assert nothing.merged_with(second).is_provisional


def test_appended_text_makes_draft_final(people: People) -> None:
    ask(people)
    claim = claim_one()
    say(claim, "A dog")
    first = look(claim)
    say(claim, " sat", draft=False)
    later = look(claim, first.last_seq).merged_with(first)
    assert (later.text, later.restart_seq, later.is_provisional) == ("A dog sat", 1, False)
    assert look(claim).merged_with(first).text == "A dog sat"


def test_slow_reader_gets_latest_draft_only(people: People) -> None:
    ask(people)
    claim = claim_one()
    for number in range(40):
        say(claim, f"Draft {number}")
    change = look(claim, 3)
    assert (change.text, change.last_seq, change.restart_seq) == ("Draft 39", 40, 40)


def test_drafts_of_parallel_generations_stay_separate(people: People) -> None:
    ask(people, "One")
    ask(people, "Two")
    one, two = generation_leases.claim("first", 2, 5, max_attempts=2)
    for round_ in range(2):
        news = {
            each.generation_id: GenerationUpdate(1, text=f"{each.generation_id} {round_}", is_provisional=True)
            for each in (one, two)
        }
        generation_leases.heartbeat("first", news, 5)
    assert [look(each).text for each in (one, two)] == [f"{one.generation_id} 1", f"{two.generation_id} 1"]


def test_draft_restarts_after_runner_loss(people: People) -> None:
    answer = ask(people)
    first = claim_one()
    say(first, "The cat", prompt_report={"options": {"seed": 4711}})
    before = look(first)
    kill("first")
    second = claim_one("second")
    assert (second.prefix_text, second.token_count, second.seed, second.attempts) == ("", 0, 4711, 2)
    anew = look(second, before.last_seq).merged_with(before)
    assert (anew.text, anew.token_count, anew.is_provisional) == ("", 0, False)
    say(second, "A dog", "second", draft=False)
    assert look(second).text == "A dog"
    kill("second")
    assert generation_leases.claim("third", 1, 5, max_attempts=2) == []
    assert fresh(people, answer).text == "A dog"


def test_draft_continuation_keeps_final_text(people: People) -> None:
    answer = ask(people)
    say(claim_one(), "Once upon", status=Status.DONE, finish_reason="length")
    reruns.queue(fresh(people, answer), keep_text=True, limits=LIMITS)
    say(claim_one(), " a midnight")
    generation_leases.release("first")
    again = claim_one("second")
    assert (again.prefix_text, again.token_count) == ("Once upon", 0)
    say(again, " a time", "second", status=Status.DONE, finish_reason="end")
    assert fresh(people, answer).text == "Once upon a time"


def test_stop_keeps_best_draft(people: People) -> None:
    answer = ask(people)
    claim = claim_one()
    say(claim, "The cat")
    generations.stop(fresh(people, answer))
    assert generation_leases.list_held("first") == {claim.generation_id: True}
    say(claim, "A dog", status=Status.STOPPED, finish_reason="cancelled")
    assert (fresh(people, answer).text, fresh(people, answer).status) == ("A dog", Status.STOPPED)


def test_switch_to_fast_requeues_answer_with_balanced_preset(people: People) -> None:
    answer = ask(people)
    claim = claim_one()
    say(claim, "The cat")
    reruns.switch_to_fast(fresh(people, answer))
    # The runner that weighs it is told that it is its work no longer.
    assert generation_leases.list_held("first") == {}
    news = GenerationUpdate(claim.attempts, text="A dog", new_tokens=1, is_provisional=True)
    assert generation_leases.heartbeat("first", {claim.generation_id: news}, 60) == {claim.generation_id}
    again = claim_one()
    assert (again.preset, again.prefix_text, again.messages) == ("balanced", "", claim.messages)
    say(again, "A bird.", draft=False, status=Status.DONE, finish_reason="end")
    assert (fresh(people, answer).text, fresh(people, answer).status) == ("A bird.", Status.DONE)


def test_switch_to_fast_keeps_final_text(people: People) -> None:
    answer = ask(people)
    reruns.switch_to_fast(fresh(people, answer))
    claim = claim_one()
    say(claim, "Word by word", draft=False)
    reruns.switch_to_fast(fresh(people, answer))
    assert generation_leases.list_held("first") == {claim.generation_id: False}
    say(claim, ".", draft=False, status=Status.DONE, finish_reason="end")
    reruns.switch_to_fast(fresh(people, answer))
    assert (fresh(people, answer).text, fresh(people, answer).status) == ("Word by word.", Status.DONE)


def test_beam_count_comes_from_prompt_report(people: People) -> None:
    ask(people)
    claim = claim_one()
    assert generations.beam_count(claim.generation_id) == 0
    say(claim, "The cat", prompt_report={"options": {"beams": 10}})
    assert generations.beam_count(claim.generation_id) == 10
