"""Who answers in a conversation: what can be chosen, what is kept, and who writes an answer once more."""

from __future__ import annotations

import pytest

from chatsite.database import write
from chatsite.errors import ConversationGoneError, ModelAwayError, PresetUnknownError
from chatsite.models import Conversation, Message, Model, ModelState, Status, Wish
from chatsite.services import answerers, claims, conversations, generations, messages, models
from chatsite.services.answerers import Answerer
from chatsite.services.claims import Claim, Written
from chatsite.services.models import Known
from tests.conftest import LIMITS, People

SITE = Known("scripted")
SMOL, BLENDER = "smollm2-135m-instruct", "blenderbot-400m-distill"


@pytest.fixture(autouse=True)
def _weights(people: People) -> None:
    """Two models are here."""
    put(SMOL, BLENDER)


def put(*names: str, state: ModelState = ModelState.READY, wish: Wish | None = None) -> None:
    with write() as session:
        for name in names:
            session.merge(Model(name=name, state=state, wish=wish))


def ask(people: People, answerer: Answerer | None = None, conversation: Conversation | None = None) -> Message:
    if conversation:
        return messages.post(people.alice, conversation, "More", "", LIMITS, answerer).answer
    return messages.start(people.alice, "Hi", "", "Hi", LIMITS, answerer).answer


def finish(text: str = "Yes.", status: Status = Status.DONE, reason: str = "end") -> Claim:
    [claim] = claims.claim("runner", 1, 5, 2)
    news = Written(claim.attempt, text=text, tokens=1, status=status, reason=reason)
    claims.record("runner", {claim.generation_id: news}, 5)
    return claim


def fresh(people: People, message: Message) -> Message:
    return messages.get(people.alice, message.public_id)


def test_a_conversation_keeps_the_model_it_began_with(people: People) -> None:
    answer = ask(people, answerers.check(SITE, BLENDER, "creative"))
    claim = finish()
    assert (claim.model, claim.preset) == (BLENDER, "creative")
    ask(people, conversation=answer.conversation)
    claim = finish()
    assert (claim.model, claim.preset) == (BLENDER, "creative")
    assert answerers.of(SITE, answer.conversation) == Answerer(BLENDER, "creative")


def test_without_a_choice_it_is_the_default(people: People) -> None:
    assert answerers.check(SITE, None, None) == Answerer("scripted")
    assert answerers.check(Known("auto"), "", "") == Answerer(BLENDER)
    put(BLENDER, state=ModelState.ABSENT)
    assert answerers.check(Known("auto"), None, None) == Answerer(SMOL)


def test_the_usual_manner_of_a_model_is_none(people: People) -> None:
    assert answerers.check(SITE, BLENDER, "precise").preset is None
    assert answerers.check(SITE, BLENDER, "balanced").preset == "balanced"
    assert answerers.check(SITE, SMOL, "balanced").preset is None
    assert answerers.check(SITE, SMOL, "precise").preset == "precise"


def test_another_model_answers_in_its_own_usual_manner(people: People) -> None:
    conversation = ask(people, Answerer(BLENDER, "creative")).conversation
    assert answerers.of(SITE, conversation, preset="balanced") == Answerer(BLENDER, "balanced")
    assert answerers.of(SITE, conversation, model=SMOL) == Answerer(SMOL)
    assert answerers.of(SITE, conversation, model=SMOL, preset="creative") == Answerer(SMOL, "creative")
    assert answerers.of(SITE, conversation, preset="") == Answerer(BLENDER)


@pytest.mark.parametrize("name", ["nobody", "../x", "\u0000", "a" * 5000, "'; DROP TABLE model; --", "gpt2"])
def test_who_is_not_here_cannot_be_chosen(people: People, name: str) -> None:
    with pytest.raises(ModelAwayError) as raised:
        answerers.check(SITE, name, None)
    assert len(str(raised.value)) < 250


@pytest.mark.parametrize("change", [{"state": ModelState.ABSENT}, {"state": ModelState.FAILED}, {"wish": Wish.REMOVE}])
def test_who_was_removed_answers_no_more_and_the_conversation_stays(people: People, change: dict[str, object]) -> None:
    conversation = ask(people, Answerer(SMOL)).conversation
    finish()
    put(SMOL, **change)  # type: ignore[arg-type]
    with pytest.raises(ModelAwayError):
        answerers.of(SITE, conversation)
    assert answerers.of(SITE, conversation, model=BLENDER) == Answerer(BLENDER)
    assert conversations.get(people.alice, conversation.public_id).model == SMOL


def test_the_default_is_waited_for(people: People) -> None:
    put(SMOL, state=ModelState.FETCHING)
    assert answerers.check(Known(SMOL), None, None) == Answerer(SMOL)


def test_a_preset_that_nobody_offers(people: People) -> None:
    with pytest.raises(PresetUnknownError):
        answerers.check(SITE, SMOL, "wild")


def test_a_choice_holds_from_the_next_question_on(people: People) -> None:
    first = ask(people, Answerer(SMOL))
    answerers.choose(first.conversation, Answerer(BLENDER, "creative"))
    assert finish().model == SMOL
    second = ask(people, conversation=first.conversation)
    assert finish().model == BLENDER
    third = ask(people, conversation=first.conversation)
    finish()
    hands = [fresh(people, answer).generation.takes_over for answer in (first, second, third)]  # type: ignore[union-attr]
    assert hands == [False, True, False]


def test_nobody_is_chosen_in_a_conversation_that_is_gone(people: People) -> None:
    conversation = ask(people).conversation
    gone = Conversation(id=conversation.id, user_id=conversation.user_id)
    conversations.destroy(conversation)
    with pytest.raises(ConversationGoneError):
        answerers.choose(gone, Answerer(SMOL))


def test_who_began_an_answer_goes_on_with_it(people: People) -> None:
    answer = ask(people, Answerer(SMOL, "creative"))
    finish(reason="length")
    answerers.choose(answer.conversation, Answerer(BLENDER))
    found = fresh(people, answer)
    assert answerers.again(SITE, found, keep_text=True) == Answerer(SMOL, "creative")
    assert answerers.again(SITE, found, keep_text=False) == Answerer(BLENDER)
    put(SMOL, state=ModelState.ABSENT)
    assert answerers.again(SITE, found, keep_text=True) == Answerer(BLENDER)


def test_an_answer_that_failed_is_written_by_who_answers_now(people: People) -> None:
    first = ask(people, Answerer(SMOL))
    finish()
    failed = ask(people, conversation=first.conversation)
    finish("", Status.FAILED, "error")
    answerers.choose(first.conversation, Answerer(BLENDER))
    generations.repeat(fresh(people, failed), keep_text=False, limits=LIMITS)
    assert finish().model == BLENDER
    generation = fresh(people, failed).generation
    assert generation
    assert generation.takes_over


def test_a_conversation_of_an_earlier_version_has_no_model(people: People) -> None:
    answer = ask(people)
    assert finish().model is None
    assert models.default(SITE) == "scripted"
    ask(people, answerers.of(SITE, answer.conversation), answer.conversation)
    assert finish().model == "scripted"
