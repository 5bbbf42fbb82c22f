"""Drafts: texts that are not decided yet, for those who write them, watch them, resume them and give them up."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select, update

from chatsite.database import db, now, write
from chatsite.models import Chunk, Generation, Message, Status
from chatsite.services import changes, claims, generations, messages
from chatsite.services.changes import Change
from chatsite.services.claims import Claim, Written
from tests.conftest import LIMITS, People


def ask(people: People, text: str = "Hi") -> Message:
    return messages.start(people.alice, text, "", text, LIMITS).answer


def claim_one(owner: str = "first") -> Claim:
    [claim] = claims.claim(owner, 1, 5, 2)
    return claim


def say(claim: Claim, text: str, owner: str = "first", draft: bool = True, **more: object) -> None:
    news = Written(claim.attempt, text=text, tokens=1, draft=draft, **more)  # type: ignore[arg-type]
    claims.record(owner, {claim.generation_id: news}, 5)


def kill(owner: str) -> None:
    """Let the lease of a runner that was killed run out."""
    with write() as session:
        session.execute(update(Generation).where(Generation.owner == owner).values(lease_until=now() - timedelta(1)))


def chunks() -> list[tuple[int, bool, str]]:
    return [(row.seq, row.fresh, row.text) for row in db.session.scalars(select(Chunk).order_by(Chunk.seq))]


def look(claim: Claim, seq: int = 0) -> Change:
    [change] = changes.follow({claim.generation_id: seq})
    return change


def fresh(people: People, message: Message) -> Message:
    return messages.get(people.alice, message.public_id)


def test_a_draft_takes_the_place_of_all_that_was_written(people: People) -> None:
    answer = ask(people)
    claim = claim_one()
    say(claim, "The cat")
    say(claim, "A dog sat")
    assert chunks() == [(2, True, "A dog sat")]
    say(claim, "A dog sat down.", status=Status.DONE, reason="end")
    assert fresh(people, answer).text == "A dog sat down."
    assert chunks() == []


def test_a_draft_that_says_nothing_new_is_not_written_again(people: People) -> None:
    ask(people)
    claim = claim_one()
    for _ in range(3):
        say(claim, "The cat")
    assert chunks() == [(1, True, "The cat")]
    assert look(claim).tokens == 3


def test_an_empty_draft_is_a_draft(people: People) -> None:
    ask(people)
    claim = claim_one()
    say(claim, "", status=None)
    assert chunks() == []
    say(claim, "The cat")
    say(claim, "")
    assert chunks() == [(2, True, "")]


def test_who_follows_is_told_that_the_text_begins_anew(people: People) -> None:
    ask(people)
    claim = claim_one()
    say(claim, "The cat")
    first = look(claim)
    assert (first.text, first.seq, first.origin, first.draft) == ("The cat", 1, 1, True)
    say(claim, "A dog")
    second = look(claim, first.seq).after(first)
    assert (second.text, second.seq, second.origin, second.draft) == ("A dog", 2, 2, True)
    nothing = look(claim, second.seq)
    assert (nothing.text, nothing.origin) == ("", 0)
    assert nothing.after(second).text == "A dog"
    assert nothing.after(second).draft


def test_what_is_added_to_a_draft_is_decided(people: People) -> None:
    ask(people)
    claim = claim_one()
    say(claim, "A dog")
    first = look(claim)
    say(claim, " sat", draft=False)
    later = look(claim, first.seq).after(first)
    assert (later.text, later.origin, later.draft) == ("A dog sat", 1, False)
    assert look(claim).after(first).text == "A dog sat"


def test_one_reader_behind_by_many_drafts_gets_the_last(people: People) -> None:
    ask(people)
    claim = claim_one()
    for number in range(40):
        say(claim, f"Draft {number}")
    change = look(claim, 3)
    assert (change.text, change.seq, change.origin) == ("Draft 39", 40, 40)


def test_drafts_of_several_answers_go_to_their_own(people: People) -> None:
    ask(people, "One")
    ask(people, "Two")
    one, two = claims.claim("first", 2, 5, 2)
    for round_ in range(2):
        news = {
            each.generation_id: Written(1, text=f"{each.generation_id} {round_}", draft=True) for each in (one, two)
        }
        claims.record("first", news, 5)
    assert [look(each).text for each in (one, two)] == [f"{one.generation_id} 1", f"{two.generation_id} 1"]


def test_an_undecided_answer_whose_runner_died_begins_anew(people: People) -> None:
    answer = ask(people)
    first = claim_one()
    say(first, "The cat", receipt={"options": {"seed": 4711}})
    before = look(first)
    kill("first")
    second = claim_one("second")
    assert (second.prefix, second.tokens, second.seed, second.attempt) == ("", 0, 4711, 2)
    anew = look(second, before.seq).after(before)
    assert (anew.text, anew.tokens, anew.draft) == ("", 0, False)
    say(second, "A dog", "second", draft=False)
    assert look(second).text == "A dog"
    kill("second")
    assert claims.claim("third", 1, 5, 2) == []
    assert fresh(people, answer).text == "A dog"


def test_an_undecided_continuation_keeps_the_text_that_is_settled(people: People) -> None:
    answer = ask(people)
    say(claim_one(), "Once upon", status=Status.DONE, reason="length")
    generations.repeat(fresh(people, answer), keep_text=True, limits=LIMITS)
    say(claim_one(), " a midnight")
    claims.release("first")
    again = claim_one("second")
    assert (again.prefix, again.tokens) == ("Once upon", 0)
    say(again, " a time", "second", status=Status.DONE, reason="end")
    assert fresh(people, answer).text == "Once upon a time"


def test_stop_keeps_the_best_draft(people: People) -> None:
    answer = ask(people)
    claim = claim_one()
    say(claim, "The cat")
    generations.stop(fresh(people, answer))
    assert claims.standing("first") == {claim.generation_id: True}
    say(claim, "A dog", status=Status.STOPPED, reason="cancelled")
    assert (fresh(people, answer).text, fresh(people, answer).status) == ("A dog", Status.STOPPED)


def test_haste_has_the_same_answer_written_the_quick_way(people: People) -> None:
    answer = ask(people)
    claim = claim_one()
    say(claim, "The cat")
    generations.hasten(fresh(people, answer))
    # The runner that weighs it is told that it is its work no longer.
    assert claims.standing("first") == {}
    news = Written(claim.attempt, text="A dog", tokens=1, draft=True)
    assert claims.record("first", {claim.generation_id: news}, 5) == {claim.generation_id}
    again = claim_one()
    assert (again.preset, again.prefix, again.turns) == ("balanced", "", claim.turns)
    say(again, "A bird.", draft=False, status=Status.DONE, reason="end")
    assert (fresh(people, answer).text, fresh(people, answer).status) == ("A bird.", Status.DONE)


def test_haste_keeps_what_is_decided(people: People) -> None:
    answer = ask(people)
    generations.hasten(fresh(people, answer))
    claim = claim_one()
    say(claim, "Word by word", draft=False)
    generations.hasten(fresh(people, answer))
    assert claims.standing("first") == {claim.generation_id: False}
    say(claim, ".", draft=False, status=Status.DONE, reason="end")
    generations.hasten(fresh(people, answer))
    assert (fresh(people, answer).text, fresh(people, answer).status) == ("Word by word.", Status.DONE)


def test_how_many_are_weighed_is_told_by_the_receipt(people: People) -> None:
    ask(people)
    claim = claim_one()
    assert generations.beams(claim.generation_id) == 0
    say(claim, "The cat", receipt={"options": {"beams": 10}})
    assert generations.beams(claim.generation_id) == 10
