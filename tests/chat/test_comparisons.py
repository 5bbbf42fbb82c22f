"""Comparisons: one question, several answers beside each other, and going on with one of them."""

from __future__ import annotations

import pytest

from chatsite.database import write_transaction
from chatsite.errors import AnswerRunningError, NotFoundError, UserQueueFullError
from chatsite.models import LocalModel, Message, ModelState, Status
from chatsite.services.chat import (
    comparisons,
    generation_leases,
    generations,
    message_pages,
    message_tree,
    messages,
    reruns,
)
from chatsite.services.chat.generation_update import GenerationUpdate
from chatsite.services.chat.messages import Exchange
from chatsite.services.models import choice
from chatsite.services.models.catalog import CatalogConfig
from chatsite.services.models.choice import ModelChoice
from tests.conftest import LIMITS, People

ONE, TWO, THREE = ModelChoice("one"), ModelChoice("two", "creative"), ModelChoice("three")


def compare(people: People, token: str = "t", compared_models: tuple[ModelChoice, ...] = (TWO, THREE)) -> Exchange:
    return messages.start_conversation(
        people.alice,
        messages.NewConversation("Hi"),
        messages.NewMessage("Hi", token, compare_with=compared_models),
        limits=LIMITS,
        choice=ONE,
    )


def answer_all(status: Status = Status.DONE) -> list[str | None]:
    """Answers everything that waits, with the name of who answers; gives these names."""
    found = generation_leases.claim("runner", 10, 5, max_attempts=2)
    for each in found:
        news = GenerationUpdate(
            each.attempts, text=f"From {each.model}", new_tokens=1, status=status, finish_reason="end"
        )
        generation_leases.heartbeat("runner", {each.generation_id: news}, 5)
    return [each.model for each in found]


def fresh(people: People, message: Message) -> Message:
    return messages.get(people.alice, message.public_id)


def shown(people: People, turn: Exchange) -> list[str]:
    return [each.text for each in message_pages.page_before(turn.conversation).messages]


def test_compared_models_answer_same_question(people: People) -> None:
    turn = compare(people)
    columns = comparisons.list_compared(fresh(people, turn.answer))
    assert [each.generation.model for each in columns if each.generation] == ["one", "two", "three"]
    assert {each.parent_id for each in columns} == {turn.question.id}
    assert columns[1].generation.preset == "creative"  # type: ignore[union-attr]
    assert sorted(map(str, answer_all())) == ["one", "three", "two"]
    # While they are compared the first one is the one that is shown.
    assert shown(people, turn) == ["Hi", "From one"]
    assert message_tree.version_positions([turn.answer])[turn.answer.id].count == 3


def test_duplicate_form_starts_one_comparison(people: People) -> None:
    turn = compare(people)
    again = compare(people)
    assert again.is_duplicate
    assert again.answer.id == turn.answer.id
    assert len(comparisons.list_compared(fresh(people, turn.answer))) == 3


def test_each_compared_answer_counts_against_queue_limit(people: People) -> None:
    messages.start_conversation(
        people.alice, messages.NewConversation("Other"), messages.NewMessage("Other", "o"), limits=LIMITS
    )
    with pytest.raises(UserQueueFullError):
        compare(people)
    assert generation_leases.claim("runner", 10, 5, max_attempts=2)[0].messages[0].text == "Other"
    assert not generation_leases.has_work(), "nothing of it was stored"
    compare(people, compared_models=(TWO,))


def test_post_rejected_while_any_compared_answer_runs(people: People) -> None:
    turn = compare(people)
    [claim, *_] = generation_leases.claim("runner", 1, 5, max_attempts=2)
    news = GenerationUpdate(claim.attempts, text="Done", new_tokens=1, status=Status.DONE, finish_reason="end")
    generation_leases.heartbeat("runner", {claim.generation_id: news}, 5)
    first = fresh(people, turn.answer)
    assert not first.is_in_progress
    writing = comparisons.find_answer_in_progress(first)
    assert writing
    assert writing.id != first.id
    with pytest.raises(AnswerRunningError):
        messages.post_message(people.alice, turn.conversation, messages.NewMessage("More"), limits=LIMITS)
    comparisons.stop(first)
    assert comparisons.find_answer_in_progress(fresh(people, first)) is None
    messages.post_message(people.alice, turn.conversation, messages.NewMessage("More"), limits=LIMITS)


def test_chosen_answer_continues_and_others_stay_as_versions(people: People) -> None:
    turn = compare(people)
    answer_all()
    second = comparisons.list_compared(fresh(people, turn.answer))[1]
    conversation = comparisons.pick_winner(fresh(people, second))
    assert (conversation.model, conversation.preset) == ("two", "creative")
    assert shown(people, turn) == ["Hi", "From two"]
    assert comparisons.list_compared(fresh(people, second)) == []
    assert message_tree.version_positions([second])[second.id].number == 2
    more = messages.post_message(people.alice, conversation, messages.NewMessage("More"), limits=LIMITS)
    [claim] = generation_leases.claim("runner", 10, 5, max_attempts=2)
    assert [each.text for each in claim.messages] == ["Hi", "From two", "More"]
    assert claim.model == "two"
    assert not more.answer.in_comparison


def test_next_question_continues_with_shown_answer(people: People) -> None:
    turn = compare(people)
    answer_all()
    messages.post_message(
        people.alice, turn.conversation, messages.NewMessage("More", parent_id=turn.answer.public_id), limits=LIMITS
    )
    assert comparisons.list_compared(fresh(people, turn.answer)) == []
    [claim] = generation_leases.claim("runner", 10, 5, max_attempts=2)
    assert [each.text for each in claim.messages] == ["Hi", "From one", "More"]


def test_retry_in_comparison_uses_same_model(people: People) -> None:
    with write_transaction() as session:
        session.merge(LocalModel(name="smollm2-135m-instruct", download_state=ModelState.READY))
    turn = compare(people, compared_models=(ModelChoice("smollm2-135m-instruct", "creative"),))
    answer_all(Status.FAILED)
    failed = comparisons.list_compared(fresh(people, turn.answer))[1]
    model_choice = choice.get_for_rerun(CatalogConfig("scripted"), fresh(people, failed), keep_text=False)
    assert model_choice == ModelChoice("smollm2-135m-instruct", "creative")
    reruns.queue(fresh(people, failed), keep_text=False, limits=LIMITS, choice=model_choice)
    assert answer_all() == ["smollm2-135m-instruct"]
    assert len(comparisons.list_compared(fresh(people, turn.answer))) == 2


def test_choose_accepts_plain_answer_and_rejects_question(people: People) -> None:
    turn = messages.start_conversation(
        people.alice, messages.NewConversation("Hi"), messages.NewMessage("Hi", "t"), limits=LIMITS, choice=ONE
    )
    answer_all()
    assert comparisons.list_compared(fresh(people, turn.answer)) == []
    assert comparisons.pick_winner(fresh(people, turn.answer)).model == "one"
    with pytest.raises(NotFoundError):
        comparisons.pick_winner(fresh(people, turn.question))
    assert not generations.has_answer_in_progress(turn.conversation.id)
