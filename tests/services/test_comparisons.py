"""Comparisons: one question, several answers beside each other, and going on with one of them."""

from __future__ import annotations

import pytest

from chatsite.database import write
from chatsite.errors import AnswerRunningError, NotFoundError, OwnQueueFullError
from chatsite.models import Message, Model, ModelState, Status
from chatsite.services import answerers, branches, claims, comparisons, generations, messages, windows
from chatsite.services.answerers import Answerer
from chatsite.services.messages import Turn
from chatsite.services.models import Known
from tests.conftest import LIMITS, People

ONE, TWO, THREE = Answerer("one"), Answerer("two", "creative"), Answerer("three")


def compare(people: People, token: str = "t", rivals: tuple[Answerer, ...] = (TWO, THREE)) -> Turn:
    return messages.start(people.alice, "Hi", token, "Hi", LIMITS, ONE, None, rivals)


def answer_all(status: Status = Status.DONE) -> list[str | None]:
    """Answers everything that waits, with the name of who answers; gives these names."""
    found = claims.claim("runner", 10, 5, 2)
    for each in found:
        news = claims.Written(each.attempt, text=f"From {each.model}", tokens=1, status=status, reason="end")
        claims.record("runner", {each.generation_id: news}, 5)
    return [each.model for each in found]


def fresh(people: People, message: Message) -> Message:
    return messages.get(people.alice, message.public_id)


def shown(people: People, turn: Turn) -> list[str]:
    return [each.text for each in windows.until(turn.conversation).messages]


def test_every_model_answers_the_same_question(people: People) -> None:
    turn = compare(people)
    columns = comparisons.columns(fresh(people, turn.answer))
    assert [each.generation.model for each in columns if each.generation] == ["one", "two", "three"]
    assert {each.parent_id for each in columns} == {turn.question.id}
    assert columns[1].generation.preset == "creative"  # type: ignore[union-attr]
    assert sorted(map(str, answer_all())) == ["one", "three", "two"]
    # While they are compared the first one is the one that is shown.
    assert shown(people, turn) == ["Hi", "From one"]
    assert branches.places([turn.answer])[turn.answer.id].count == 3


def test_a_form_that_is_sent_twice_asks_once(people: People) -> None:
    turn = compare(people)
    again = compare(people)
    assert again.repeated
    assert again.answer.id == turn.answer.id
    assert len(comparisons.columns(fresh(people, turn.answer))) == 3


def test_each_of_them_takes_a_place_in_the_queue(people: People) -> None:
    messages.start(people.alice, "Other", "o", "Other", LIMITS)
    with pytest.raises(OwnQueueFullError):
        compare(people)
    assert claims.claim("runner", 10, 5, 2)[0].turns[0].text == "Other"
    assert not claims.waiting(), "nothing of it was stored"
    compare(people, rivals=(TWO,))


def test_nobody_asks_while_one_of_them_is_being_written(people: People) -> None:
    turn = compare(people)
    [claim, *_] = claims.claim("runner", 1, 5, 2)
    news = claims.Written(claim.attempt, text="Done", tokens=1, status=Status.DONE, reason="end")
    claims.record("runner", {claim.generation_id: news}, 5)
    first = fresh(people, turn.answer)
    assert not first.active
    writing = comparisons.writing(first)
    assert writing
    assert writing.id != first.id
    with pytest.raises(AnswerRunningError):
        messages.post(people.alice, turn.conversation, "More", "", LIMITS)
    comparisons.stop(first)
    assert comparisons.writing(fresh(people, first)) is None
    messages.post(people.alice, turn.conversation, "More", "", LIMITS)


def test_the_chosen_one_goes_on_and_the_others_stay(people: People) -> None:
    turn = compare(people)
    answer_all()
    second = comparisons.columns(fresh(people, turn.answer))[1]
    conversation = comparisons.choose(fresh(people, second))
    assert (conversation.model, conversation.preset) == ("two", "creative")
    assert shown(people, turn) == ["Hi", "From two"]
    assert comparisons.columns(fresh(people, second)) == []
    assert branches.places([second])[second.id].number == 2
    more = messages.post(people.alice, conversation, "More", "", LIMITS)
    [claim] = claims.claim("runner", 10, 5, 2)
    assert [each.text for each in claim.turns] == ["Hi", "From two", "More"]
    assert claim.model == "two"
    assert not more.answer.comparing


def test_who_asks_on_goes_on_with_the_one_that_is_shown(people: People) -> None:
    turn = compare(people)
    answer_all()
    messages.post(people.alice, turn.conversation, "More", "", LIMITS, after=turn.answer.public_id)
    assert comparisons.columns(fresh(people, turn.answer)) == []
    [claim] = claims.claim("runner", 10, 5, 2)
    assert [each.text for each in claim.turns] == ["Hi", "From one", "More"]


def test_one_that_failed_is_tried_again_by_the_same_model(people: People) -> None:
    with write() as session:
        session.merge(Model(name="smollm2-135m-instruct", state=ModelState.READY))
    turn = compare(people, rivals=(Answerer("smollm2-135m-instruct", "creative"),))
    answer_all(Status.FAILED)
    failed = comparisons.columns(fresh(people, turn.answer))[1]
    answerer = answerers.again(Known("scripted"), fresh(people, failed), keep_text=False)
    assert answerer == Answerer("smollm2-135m-instruct", "creative")
    generations.repeat(fresh(people, failed), keep_text=False, limits=LIMITS, answerer=answerer)
    assert answer_all() == ["smollm2-135m-instruct"]
    assert len(comparisons.columns(fresh(people, turn.answer))) == 2


def test_an_answer_that_was_never_compared_can_be_chosen_and_a_question_cannot(people: People) -> None:
    turn = messages.start(people.alice, "Hi", "t", "Hi", LIMITS, ONE)
    answer_all()
    assert comparisons.columns(fresh(people, turn.answer)) == []
    assert comparisons.choose(fresh(people, turn.answer)).model == "one"
    with pytest.raises(NotFoundError):
        comparisons.choose(fresh(people, turn.question))
    assert not generations.is_running(turn.conversation.id)
