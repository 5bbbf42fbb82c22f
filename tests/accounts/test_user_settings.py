"""What somebody sets for all their chats: instructions that models read first, and how new chats begin."""

from __future__ import annotations

import json

import pytest

from chatsite.database import db
from chatsite.engine.scripted import build_report
from chatsite.engine.types import Request
from chatsite.errors import InstructionsTooLargeForContextError, InstructionsTooLongError
from chatsite.models import AnonymousUser, Conversation, Generation, Message, Status, User
from chatsite.runner.prompt_reports import serialize_prompt_report
from chatsite.services.accounts import user_settings
from chatsite.services.chat import branch_copies, chat_settings, generation_leases, messages, prompt_report, reruns
from chatsite.services.chat.chat_settings import ChatSettings
from chatsite.services.chat.generation_update import GenerationUpdate
from chatsite.services.models import catalog, choice
from chatsite.services.models.catalog import CatalogConfig
from chatsite.services.models.choice import ModelChoice
from tests.conftest import LIMITS, People

SITE = CatalogConfig("scripted")
SECRET = "Call me Ada."
TUTOR = ChatSettings("Tutor", "Be patient.", {})
BLENDER = ModelChoice("blenderbot-400m-distill", None, "blenderbot")
T5 = ModelChoice("flan-t5-base", None, "text-to-text")
SCRIPT = ModelChoice("scripted", None, "scripted")


def begin(
    people: People, model_choice: ModelChoice = SCRIPT, *, settings: ChatSettings | None = None, **new: bool
) -> Message:
    return messages.start_conversation(
        people.alice,
        messages.NewConversation("Hi", settings=settings, **new),
        messages.NewMessage("Hi"),
        limits=LIMITS,
        choice=model_choice,
    ).answer


def ask_more(people: People, answer: Message, model_choice: ModelChoice | None = SCRIPT) -> Message:
    conversation = db.session.get_one(Conversation, answer.conversation_id)
    new = messages.NewMessage("More")
    return messages.post_message(people.alice, conversation, new, limits=LIMITS, choice=model_choice).answer


def finish(reason: str = "end") -> generation_leases.ClaimedGeneration:
    """Answer the waiting question as a runner does, with the report of what was read."""
    [claim] = generation_leases.claim("runner", 1, 5, max_attempts=2)
    report = serialize_prompt_report(
        build_report(Request(1, claim.messages, persona=claim.instructions)), claim.messages
    )
    news = GenerationUpdate(claim.attempts, "Yes.", 1, report, Status.DONE, reason)
    generation_leases.heartbeat("runner", {claim.generation_id: news}, 5)
    return claim


def generation(people: People, answer: Message) -> Generation:
    found = messages.get(people.alice, answer.public_id).generation
    assert found
    return found


def test_instructions_are_cleaned_and_bounded(people: People) -> None:
    user_settings.update_instructions(people.alice, "\r\nOne.\r\nTwo.\x00\n\n")
    assert user_settings.get_instructions(people.alice) == "One.\nTwo."
    with pytest.raises(InstructionsTooLongError):
        user_settings.update_instructions(people.alice, "i" * 1501)
    user_settings.update_instructions(people.alice, "i" * 1500)
    user_settings.update_instructions(people.alice, "  ")
    assert user_settings.get_instructions(people.alice) == ""
    assert user_settings.get_instructions(people.bob) == user_settings.get_instructions(AnonymousUser()) == ""


def test_model_reads_them_before_those_of_the_chat(people: People) -> None:
    user_settings.update_instructions(people.alice, f"{SECRET}\nBe brief.")
    answer = begin(people, settings=TUTOR)
    # What an answer was queued with stays.
    user_settings.update_instructions(people.alice, "Other.")
    assert finish().instructions == ("Call me Ada.", "Be brief.", "", "Be patient.")
    second = ask_more(people, answer)
    assert finish().instructions == ("Other.", "", "Be patient.")
    user_settings.update_instructions(people.alice, "")
    third = ask_more(people, answer)
    assert finish().instructions == ("Be patient.",)
    fourth = ask_more(people, answer)
    changes = [generation(people, each).settings_changed for each in (answer, second, third, fourth)]
    assert changes == [False, True, True, False]
    assert db.session.get_one(Conversation, answer.conversation_id).instructions == "Be patient."


def test_temporary_chat_reads_them_too(people: People) -> None:
    user_settings.update_instructions(people.alice, SECRET)
    begin(people, is_temporary=True)
    assert finish().instructions == (SECRET,)


@pytest.mark.parametrize("model_choice", [BLENDER, T5])
def test_model_that_follows_no_instructions_reads_none(people: People, model_choice: ModelChoice) -> None:
    user_settings.update_instructions(people.alice, SECRET)
    answer = begin(people, model_choice, settings=TUTOR)
    assert finish().instructions == ("Be patient.",)
    user_settings.update_instructions(people.alice, "Other.")
    second = ask_more(people, answer, model_choice)
    assert finish().instructions == ("Be patient.",)
    assert not generation(people, second).settings_changed
    assert prompt_report.load(messages.get(people.alice, second.public_id)).user_instructions == ""  # type: ignore[union-attr]


def test_settings_of_one_message_do_not_replace_them(people: People) -> None:
    """A message that waited has settings of its own, and the choice of its model was stored without a family."""
    user_settings.update_instructions(people.alice, SECRET)
    answer = begin(people)
    finish()
    conversation = db.session.get_one(Conversation, answer.conversation_id)
    for model, read in (("scripted", (SECRET, "", "Be patient.")), (BLENDER.model, ("Be patient.",))):
        new = messages.NewMessage("More", choice=ModelChoice(model), settings=TUTOR)
        messages.post_message(people.alice, conversation, new, limits=LIMITS)
        assert finish().instructions == read


def test_continue_keeps_them_and_retry_and_regenerate_read_new_ones(people: People) -> None:
    user_settings.update_instructions(people.alice, SECRET)
    answer = begin(people)
    finish("length")
    user_settings.update_instructions(people.alice, "Other.")
    reruns.queue(messages.get(people.alice, answer.public_id), keep_text=True, limits=LIMITS, choice=SCRIPT)
    assert finish().instructions == (SECRET,)
    written, again = messages.get(people.alice, answer.public_id), messages.Regeneration(SCRIPT)
    messages.regenerate_answer(people.alice, written, limits=LIMITS, regeneration=again)
    assert finish().instructions == ("Other.",)


def test_prompt_report_names_them(people: People) -> None:
    user_settings.update_instructions(people.alice, SECRET)
    answer = begin(people, settings=TUTOR)
    finish()
    message = messages.get(people.alice, answer.public_id)
    assert message.generation
    assert SECRET not in json.dumps(message.generation.prompt_report)
    report = prompt_report.load(message)
    assert report
    assert (report.user_instructions, report.persona) == (SECRET, ("Be patient.",))
    conversation = message.conversation
    assert prompt_report.estimate_context_usage(conversation) is not None
    user_settings.update_instructions(people.alice, "Other.")
    assert prompt_report.estimate_context_usage(conversation) is None


def test_long_instructions_count_in_the_context_window(people: People) -> None:
    card = catalog.get_card(SITE, "gpt2")
    assert card.entry.context_tokens
    half = card.entry.context_tokens // 2 * chat_settings.CHARS_PER_TOKEN
    own, general = "x" * (half - 400), "y" * 500
    for user_instructions, fits in (("", True), ("y" * 400, True), (general, False)):
        if fits:
            chat_settings.require_fits_context(own, card, user_instructions)
            continue
        with pytest.raises(InstructionsTooLargeForContextError):
            chat_settings.require_fits_context(own, card, user_instructions)
    blender = catalog.get_card(SITE, BLENDER.model or "")
    chat_settings.require_fits_context("I cook.", blender, general)


def test_shares_and_copies_of_others_hold_nothing_of_them(people: People) -> None:
    user_settings.update_instructions(people.alice, SECRET)
    answer = begin(people, settings=TUTOR)
    finish()
    leaf = messages.get(people.alice, answer.public_id)
    copy = branch_copies.copy_branch(people.bob, leaf, "Copy", with_prompt_reports=False)
    copied = db.session.get_one(Message, copy.active_leaf_id)
    assert copied.generation
    assert copied.generation.user_instructions is None
    own = branch_copies.fork_conversation(people.alice, messages.get(people.alice, answer.public_id))
    fork = db.session.get_one(Message, own.active_leaf_id)
    assert fork.generation
    assert fork.generation.user_instructions == SECRET


def test_new_chat_begins_with_own_default(people: People) -> None:
    assert choice.get_for_new_chat(SITE, people.alice) == ModelChoice("scripted")
    user_settings.update_defaults(people.alice, None, "creative")
    alice = db.session.get_one(User, people.alice.id, populate_existing=True)
    assert choice.get_for_new_chat(SITE, alice) == ModelChoice("scripted", "creative")
    assert choice.get_for_new_chat(SITE, alice, preset="") == ModelChoice("scripted")
    assert choice.get_for_new_chat(SITE, alice, "scripted") == ModelChoice("scripted")
    # A model that is gone does not stand in the way.
    user_settings.update_defaults(people.alice, "gpt2", "precise")
    alice = db.session.get_one(User, people.alice.id, populate_existing=True)
    assert choice.find_default_model(SITE, alice) is None
    assert choice.get_for_new_chat(SITE, alice) == ModelChoice("scripted", "precise")
    assert choice.get_for_new_chat(SITE, people.bob) == choice.get_for_new_chat(SITE, AnonymousUser())
