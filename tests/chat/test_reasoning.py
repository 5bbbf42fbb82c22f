"""What a model thinks before it answers: kept beside the answer, shown, exported, and never read by a model."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from chatsite.database import db, utcnow, write_transaction
from chatsite.engine.types import Delta, Reasoning, Restarted, Turn
from chatsite.models import Chunk, Generation, Message, MessageReasoning, Status
from chatsite.runner.active_answers import ActiveAnswer
from chatsite.services.chat import (
    branch_copies,
    generation_leases,
    generation_progress,
    generations,
    messages,
    prompt_report,
    reasonings,
    reruns,
)
from chatsite.services.chat.generation_leases import ClaimedGeneration
from chatsite.services.chat.generation_progress import GenerationSnapshot
from chatsite.services.chat.generation_update import GenerationUpdate
from chatsite.services.search import search
from chatsite.services.sharing import shares
from tests.conftest import LIMITS, People
from tests.support import transfer_fixtures as t

THOUGHT = "Foxes are zzred."


def ask(people: People, text: str = "Hi") -> Message:
    return messages.start_conversation(
        people.alice, messages.NewConversation(text), messages.NewMessage(text), limits=LIMITS
    ).answer


def claim_one(owner: str = "first") -> ClaimedGeneration:
    [claim] = generation_leases.claim(owner, 1, 60, max_attempts=3)
    return claim


def think(claim: ClaimedGeneration, reasoning: str, owner: str = "first", **more: object) -> None:
    tokens = len(reasoning.split())
    update_ = GenerationUpdate(claim.attempts, new_tokens=tokens, reasoning=reasoning, reasoning_tokens=tokens, **more)  # type: ignore[arg-type]
    generation_leases.heartbeat(owner, {claim.generation_id: update_}, 60)


def say(claim: ClaimedGeneration, text: str, owner: str = "first", **more: object) -> None:
    update_ = GenerationUpdate(claim.attempts, text=text, new_tokens=len(text.split()), **more)  # type: ignore[arg-type]
    generation_leases.heartbeat(owner, {claim.generation_id: update_}, 60)


def finish(claim: ClaimedGeneration, owner: str = "first") -> None:
    generation_leases.heartbeat(
        owner, {claim.generation_id: GenerationUpdate(claim.attempts, status=Status.DONE, finish_reason="end")}, 60
    )


def kill(owner: str) -> None:
    """Let the lease of a runner that was killed run out."""
    with write_transaction() as session:
        session.execute(
            update(Generation).where(Generation.lease_owner == owner).values(lease_until=utcnow() - timedelta(1))
        )


def look(claim: ClaimedGeneration, seq: int = 0) -> GenerationSnapshot:
    [snapshot] = generation_progress.take_snapshots({claim.generation_id: seq})
    return snapshot


def stored(message: Message) -> tuple[str, int | None] | None:
    row = reasonings.load([message]).get(message.id)
    return (row.text, row.token_count) if row else None


def answer_with_reasoning(people: People, question: str = "Hi") -> Message:
    answer = ask(people, question)
    claim = claim_one()
    think(claim, THOUGHT)
    say(claim, "They are red.")
    finish(claim)
    return messages.get(people.alice, answer.public_id)


def test_reasoning_is_kept_beside_the_answer(people: People) -> None:
    answer = ask(people)
    claim = claim_one()
    think(claim, "Foxes ")
    snapshot = look(claim)
    assert (snapshot.text, snapshot.reasoning, snapshot.is_thinking) == ("", "Foxes ", True)
    assert (snapshot.token_count, snapshot.reasoning_tokens) == (1, 1)
    think(claim, "are zzred.", text="They ")
    later = look(claim, snapshot.last_seq)
    assert (later.text, later.reasoning, later.is_thinking) == ("They ", "are zzred.", False)
    merged = later.merged_with(snapshot)
    assert (merged.text, merged.reasoning) == ("They ", THOUGHT)
    say(claim, "are red.")
    finish(claim)
    message = messages.get(people.alice, answer.public_id)
    assert (message.text, stored(message)) == ("They are red.", (THOUGHT, 3))
    generation = message.generation
    assert generation
    assert (generation.token_count, generation.reasoning_tokens) == (5, 3)
    assert generation.reasoning_seconds is not None
    assert db.session.query(Chunk).count() == 0


def test_same_update_twice_counts_once(people: People) -> None:
    answer = ask(people)
    claim = claim_one()
    for _ in range(2):
        think(claim, THOUGHT, seq=1)
    finish(claim)
    assert stored(messages.get(people.alice, answer.public_id)) == (THOUGHT, 3)


def test_no_model_reads_reasoning_again(people: People) -> None:
    answer = answer_with_reasoning(people)
    messages.post_message(people.alice, answer.conversation, messages.NewMessage("And?"), limits=LIMITS)
    claim = claim_one()
    assert claim.messages == (Turn("user", "Hi"), Turn("assistant", "They are red."), Turn("user", "And?"))
    assert "zzred" not in repr(claim)


def test_runner_that_dies_while_thinking_leaves_nothing(people: People) -> None:
    answer = ask(people)
    claim = claim_one()
    think(claim, THOUGHT)
    seq = look(claim).last_seq
    kill("first")
    again = claim_one("second")
    assert (again.prefix_text, again.token_count, again.attempts) == ("", 0, 2)
    # Who watches is told to drop what was thought.
    snapshot = look(again, seq)
    assert (snapshot.restart_seq, snapshot.reasoning, snapshot.is_thinking) == (seq + 1, "", False)
    think(again, "Red.", "second")
    say(again, "Red it is.", "second")
    finish(again, "second")
    message = messages.get(people.alice, answer.public_id)
    assert (message.text, stored(message)) == ("Red it is.", ("Red.", 1))
    assert message.generation
    assert (message.generation.token_count, message.generation.reasoning_tokens) == (4, 1)


def test_runner_that_dies_while_answering_keeps_both_texts(people: People) -> None:
    answer = ask(people)
    claim = claim_one()
    think(claim, THOUGHT)
    say(claim, "They are")
    kill("first")
    again = claim_one("second")
    # The limit of an answer does not count what was thought.
    assert (again.prefix_text, again.token_count) == ("They are", 2)
    assert again.reasoning
    say(again, " red.", "second")
    finish(again, "second")
    message = messages.get(people.alice, answer.public_id)
    assert (message.text, stored(message)) == ("They are red.", (THOUGHT, 3))


def test_answer_that_is_stopped_while_thinking_keeps_its_reasoning(people: People) -> None:
    answer = ask(people)
    claim = claim_one()
    think(claim, THOUGHT)
    think(claim, "", status=Status.STOPPED, finish_reason="cancelled")
    message = messages.get(people.alice, answer.public_id)
    assert (message.text, message.status, stored(message)) == ("", Status.STOPPED, (THOUGHT, 3))
    assert generations.can_retry(message)
    assert not generations.can_continue(message)
    reruns.queue(message, False, LIMITS)
    assert stored(message) is None


def test_answer_that_never_began_can_be_tried_again(people: People) -> None:
    answer = ask(people)
    claim = claim_one()
    think(claim, THOUGHT)
    think(claim, "", status=Status.DONE, finish_reason="length")
    message = messages.get(people.alice, answer.public_id)
    assert (message.text, generations.can_retry(message)) == ("", True)
    reruns.queue(message, False, LIMITS)
    say(claim_one(), "Red.", status=Status.DONE, finish_reason="end")
    assert not generations.can_retry(messages.get(people.alice, answer.public_id))


def test_answer_that_is_begun_anew_has_only_its_own_reasoning(people: People) -> None:
    answer = ask(people)
    claim = claim_one()
    think(claim, "In vain.")
    say(claim, "No")
    news = ActiveAnswer(claim.generation_id, 1, claim.attempts, (), look(claim).last_seq)
    for event in (Delta(1, " way", 1), Restarted(1), Reasoning(1, THOUGHT, 3), Delta(1, "They", 1)):
        news.add_event(event)
    unsaved = news.take_unsaved()
    assert unsaved
    generation_leases.heartbeat("first", {claim.generation_id: unsaved}, 60)
    snapshot = look(claim)
    assert (snapshot.text, snapshot.reasoning) == ("They", THOUGHT)
    assert (snapshot.token_count, snapshot.reasoning_tokens) == (4, 3)
    finish(claim)
    message = messages.get(people.alice, answer.public_id)
    assert (message.text, stored(message)) == ("They", (THOUGHT, 3))


def test_provisional_text_keeps_reasoning(people: People) -> None:
    answer = ask(people)
    claim = claim_one()
    think(claim, THOUGHT)
    for text in ("They", "They are"):
        say(claim, text, is_provisional=True)
    assert (look(claim).text, look(claim).reasoning) == ("They are", THOUGHT)
    finish(claim)
    assert stored(messages.get(people.alice, answer.public_id)) == (THOUGHT, 3)


def test_context_usage_leaves_reasoning_out(people: People) -> None:
    report = {"model": "m", "budget": 2000, "used": 5, "kept": 1, "turns": [[0, "user", 5, True, False]]}
    usages = []
    for reasoning in ("", THOUGHT * 200):
        answer = ask(people)
        claim = claim_one()
        think(claim, reasoning, prompt_report=report)
        say(claim, "They are red.", status=Status.DONE, finish_reason="end")
        usages.append(prompt_report.estimate_context_usage(messages.get(people.alice, answer.public_id).conversation))
    plain, thoughtful = usages
    assert plain
    assert thoughtful
    assert thoughtful.used_tokens == plain.used_tokens


def test_continued_answer_keeps_what_was_thought_before(people: People) -> None:
    answer = ask(people)
    claim = claim_one()
    think(claim, THOUGHT)
    say(claim, "They are", status=Status.DONE, finish_reason="length")
    message = messages.get(people.alice, answer.public_id)
    reruns.queue(message, True, LIMITS)
    again = claim_one()
    assert again.prefix_text == "They are"
    think(again, "Go on.")
    say(again, " red.")
    finish(again)
    message = messages.get(people.alice, answer.public_id)
    assert (message.text, stored(message)) == ("They are red.", (f"{THOUGHT}\n\nGo on.", 5))


def test_fork_keeps_reasoning_and_share_does_not_have_it(people: People) -> None:
    answer = answer_with_reasoning(people)
    fork = branch_copies.fork_conversation(people.alice, answer)
    [copied] = db.session.scalars(select(Message).where(Message.id == fork.active_leaf_id))
    assert stored(copied) == (THOUGHT, 3)
    share = shares.create(answer.conversation)
    assert "zzred" not in repr(shares.read_page(share.public_id))
    copy = shares.copy_for_visitor(people.bob, share.public_id)
    [theirs] = db.session.scalars(select(Message).where(Message.id == copy.active_leaf_id))
    assert (theirs.text, stored(theirs)) == ("They are red.", None)


def test_search_does_not_find_reasoning(people: People) -> None:
    answer_with_reasoning(people, "Tell me of foxes")
    assert search.search(people.alice, "foxes").messages
    assert not search.search(people.alice, "zzred").messages


def test_reasoning_goes_with_its_message(people: People) -> None:
    answer = answer_with_reasoning(people)
    with write_transaction() as tx:
        tx.delete(tx.get_one(Message, answer.id))
    assert db.session.scalar(select(func.count()).select_from(MessageReasoning)) == 0


@pytest.mark.parametrize("is_done", [True, False])
def test_export_has_reasoning_and_comes_in_again_identical(people: People, is_done: bool) -> None:
    answer = ask(people)
    claim = claim_one()
    think(claim, THOUGHT)
    if is_done:
        say(claim, "They are red.")
        finish(claim)
    exported = t.export_native(people.alice)
    [conversation] = json.loads(exported)["conversations"]
    question, answered = conversation["messages"]
    assert "reasoning" not in question
    assert (answered["reasoning"]["text"], answered["reasoning"]["tokens"]) == (THOUGHT, 3)
    if not is_done:
        return
    with write_transaction() as tx:
        tx.delete(tx.get_one(type(answer.conversation), answer.conversation_id))
    t.import_file(people.alice, exported)
    assert t.export_native(people.alice) == exported
