"""Who answers in a conversation: what can be chosen, what is kept, and who writes an answer once more."""

from __future__ import annotations

import pytest

from chatsite.database import write_transaction
from chatsite.errors import ConversationNotFoundError, InvalidPresetError, ModelNotAvailableError
from chatsite.models import Conversation, LocalModel, Message, ModelState, RequestedAction, Status
from chatsite.services.chat import (
    chat_settings,
    conversations,
    generation_leases,
    messages,
    reruns,
)
from chatsite.services.chat.generation_leases import ClaimedGeneration
from chatsite.services.chat.generation_update import GenerationUpdate
from chatsite.services.models import catalog, choice
from chatsite.services.models.catalog import CatalogConfig
from chatsite.services.models.choice import ModelChoice
from tests.conftest import LIMITS, People
from tests.support.deleting import destroy

SITE = CatalogConfig("scripted")
SMOL, BLENDER = "smollm2-135m-instruct", "blenderbot-400m-distill"


@pytest.fixture(autouse=True)
def _ready_models(people: People) -> None:
    """Two models are here."""
    put(SMOL, BLENDER)


def put(*names: str, state: ModelState = ModelState.READY, requested: RequestedAction | None = None) -> None:
    with write_transaction() as session:
        for name in names:
            session.merge(LocalModel(name=name, download_state=state, requested_action=requested))


def ask(people: People, model_choice: ModelChoice | None = None, conversation: Conversation | None = None) -> Message:
    if conversation:
        return messages.post_message(
            people.alice, conversation, messages.NewMessage("More"), limits=LIMITS, choice=model_choice
        ).answer
    return messages.start_conversation(
        people.alice, messages.NewConversation("Hi"), messages.NewMessage("Hi"), limits=LIMITS, choice=model_choice
    ).answer


def finish(text: str = "Yes.", status: Status = Status.DONE, reason: str = "end") -> ClaimedGeneration:
    [claim] = generation_leases.claim("runner", 1, 5, max_attempts=2)
    news = GenerationUpdate(claim.attempts, text=text, new_tokens=1, status=status, finish_reason=reason)
    generation_leases.heartbeat("runner", {claim.generation_id: news}, 5)
    return claim


def fresh(people: People, message: Message) -> Message:
    return messages.get(people.alice, message.public_id)


def test_conversation_keeps_its_first_model(people: People) -> None:
    answer = ask(people, choice.validate(SITE, BLENDER, "creative"))
    claim = finish()
    assert (claim.model, claim.preset) == (BLENDER, "creative")
    ask(people, conversation=answer.conversation)
    claim = finish()
    assert (claim.model, claim.preset) == (BLENDER, "creative")
    assert choice.get_for_next_answer(SITE, answer.conversation) == ModelChoice(BLENDER, "creative")


def test_missing_choice_uses_default_model(people: People) -> None:
    assert choice.validate(SITE, None, None) == ModelChoice("scripted")
    assert choice.validate(CatalogConfig("auto"), "", "") == ModelChoice(BLENDER)
    put(BLENDER, state=ModelState.ABSENT)
    assert choice.validate(CatalogConfig("auto"), None, None) == ModelChoice(SMOL)


def test_default_preset_is_stored_as_none(people: People) -> None:
    assert choice.validate(SITE, BLENDER, "precise").preset is None
    assert choice.validate(SITE, BLENDER, "balanced").preset == "balanced"
    assert choice.validate(SITE, SMOL, "balanced").preset is None
    assert choice.validate(SITE, SMOL, "precise").preset == "precise"


def test_model_change_resets_preset_to_default(people: People) -> None:
    conversation = ask(people, ModelChoice(BLENDER, "creative")).conversation
    assert choice.get_for_next_answer(SITE, conversation, preset="balanced") == ModelChoice(BLENDER, "balanced")
    assert choice.get_for_next_answer(SITE, conversation, model=SMOL) == ModelChoice(SMOL)
    assert choice.get_for_next_answer(SITE, conversation, model=SMOL, preset="creative") == ModelChoice(
        SMOL, "creative"
    )
    assert choice.get_for_next_answer(SITE, conversation, preset="") == ModelChoice(BLENDER)


@pytest.mark.parametrize("name", ["nobody", "../x", "\u0000", "a" * 5000, "'; DROP TABLE model; --", "gpt2"])
def test_unavailable_model_cannot_be_chosen(people: People, name: str) -> None:
    with pytest.raises(ModelNotAvailableError) as raised:
        choice.validate(SITE, name, None)
    assert len(str(raised.value)) < 250


@pytest.mark.parametrize(
    "change", [{"state": ModelState.ABSENT}, {"state": ModelState.FAILED}, {"requested": RequestedAction.REMOVE}]
)
def test_conversation_survives_removed_model(people: People, change: dict[str, object]) -> None:
    conversation = ask(people, ModelChoice(SMOL)).conversation
    finish()
    put(SMOL, **change)  # type: ignore[arg-type]
    with pytest.raises(ModelNotAvailableError):
        choice.get_for_next_answer(SITE, conversation)
    assert choice.get_for_next_answer(SITE, conversation, model=BLENDER) == ModelChoice(BLENDER)
    assert conversations.get(people.alice, conversation.public_id).model == SMOL


def test_default_model_can_be_chosen_while_downloading(people: People) -> None:
    put(SMOL, state=ModelState.FETCHING)
    assert choice.validate(CatalogConfig(SMOL), None, None) == ModelChoice(SMOL)


def test_unknown_preset_is_rejected(people: People) -> None:
    with pytest.raises(InvalidPresetError):
        choice.validate(SITE, SMOL, "wild")


def test_model_choice_applies_from_next_question(people: People) -> None:
    first = ask(people, ModelChoice(SMOL))
    chat_settings.set_model(first.conversation, ModelChoice(BLENDER, "creative"))
    assert finish().model == SMOL
    second = ask(people, conversation=first.conversation)
    assert finish().model == BLENDER
    third = ask(people, conversation=first.conversation)
    finish()
    hands = [fresh(people, answer).generation.model_changed for answer in (first, second, third)]  # type: ignore[union-attr]
    assert hands == [False, True, False]


def test_selecting_model_in_deleted_conversation_fails(people: People) -> None:
    conversation = ask(people).conversation
    gone = Conversation(id=conversation.id, user_id=conversation.user_id)
    destroy(conversation)
    with pytest.raises(ConversationNotFoundError):
        chat_settings.set_model(gone, ModelChoice(SMOL))


def test_continue_uses_original_model_while_available(people: People) -> None:
    answer = ask(people, ModelChoice(SMOL, "creative"))
    finish(reason="length")
    chat_settings.set_model(answer.conversation, ModelChoice(BLENDER))
    found = fresh(people, answer)
    assert choice.get_for_rerun(SITE, found, keep_text=True) == ModelChoice(SMOL, "creative")
    assert choice.get_for_rerun(SITE, found, keep_text=False) == ModelChoice(BLENDER)
    put(SMOL, state=ModelState.ABSENT)
    assert choice.get_for_rerun(SITE, found, keep_text=True) == ModelChoice(BLENDER)


def test_retry_of_failed_answer_uses_current_model(people: People) -> None:
    first = ask(people, ModelChoice(SMOL))
    finish()
    failed = ask(people, conversation=first.conversation)
    finish("", Status.FAILED, "error")
    chat_settings.set_model(first.conversation, ModelChoice(BLENDER))
    reruns.queue(fresh(people, failed), keep_text=False, limits=LIMITS)
    assert finish().model == BLENDER
    generation = fresh(people, failed).generation
    assert generation
    assert generation.model_changed


def test_legacy_conversation_without_model_uses_default(people: People) -> None:
    answer = ask(people)
    assert finish().model is None
    assert catalog.default_name(SITE) == "scripted"
    ask(people, choice.get_for_next_answer(SITE, answer.conversation), answer.conversation)
    assert finish().model == "scripted"
