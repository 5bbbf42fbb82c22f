"""Settings: what is accepted, what an answer is queued with, and what of it reaches the engine."""

from __future__ import annotations

import threading

import pytest
from flask import Flask

from chatsite.database import db
from chatsite.engine.scripted import ScriptedEngine
from chatsite.engine.types import Request
from chatsite.errors import (
    ConversationNotFoundError,
    InstructionsTooLargeForContextError,
    InstructionsTooLongError,
    InvalidOptionError,
    PersonaNameTooLongError,
)
from chatsite.models import Conversation, Generation, Message, Status
from chatsite.runner.loop import Runner
from chatsite.runner.prompt_reports import serialize_prompt_report
from chatsite.services.accounts import users
from chatsite.services.chat import (
    chat_settings,
    generation_leases,
    messages,
    prompt_report,
    reruns,
)
from chatsite.services.chat.chat_settings import ChatSettings
from chatsite.services.chat.generation_update import GenerationUpdate
from chatsite.services.models import catalog
from chatsite.services.models.catalog import CatalogConfig
from chatsite.services.models.choice import ModelChoice
from tests.conftest import LIMITS, People

SITE = CatalogConfig("scripted")
BLENDER = "blenderbot-400m-distill"
TUTOR = ChatSettings("Tutor", "Be patient.\n\nAsk back.", {"temperature": 0.3, "max_new_tokens": 40, "seed": 7})


def check(name: str = "", instructions: str = "", model: str = "", **numbers: str) -> ChatSettings:
    card = catalog.get_card(SITE, model) if model else None
    return chat_settings.validate(name, instructions, numbers, max_answer_tokens=512, card=card)


def begin(
    people: People, asked_options: ChatSettings | None = None, model_choice: ModelChoice | None = None
) -> Message:
    return messages.start_conversation(
        people.alice,
        messages.NewConversation("Hi", settings=asked_options),
        messages.NewMessage("Hi"),
        limits=LIMITS,
        choice=model_choice,
    ).answer


def more(people: People, answer: Message) -> Message:
    return messages.post_message(people.alice, answer.conversation, messages.NewMessage("More"), limits=LIMITS).answer


def finish(
    status: Status = Status.DONE, reason: str = "end", text: str = "Yes."
) -> generation_leases.ClaimedGeneration:
    [claim] = generation_leases.claim("runner", 1, 5, max_attempts=2)
    news = GenerationUpdate(claim.attempts, text=text, new_tokens=1, status=status, finish_reason=reason)
    generation_leases.heartbeat("runner", {claim.generation_id: news}, 5)
    return claim


def generation(people: People, answer: Message) -> Generation:
    found = messages.get(people.alice, answer.public_id).generation
    assert found
    return found


def test_settings_are_normalized_and_empty_values_ignored(any_app: Flask) -> None:
    with any_app.app_context():
        assert not check(temperature=" ", top_p="")
        found = check("  My \n tutor ", "\r\nOne.\r\nTwo.\n", temperature="0,5", top_k="40", seed="4294967295")
        assert found == ChatSettings("My tutor", "One.\nTwo.", {"temperature": 0.5, "top_k": 40, "seed": 4294967295})


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        ("temperature", "2.1"),
        ("temperature", "-0.1"),
        ("temperature", "warm"),
        ("temperature", "nan"),
        ("temperature", "inf"),
        ("temperature", "1e999"),
        ("top_p", "0"),
        ("top_k", "1.5"),
        ("repetition_penalty", "0.5"),
        ("max_new_tokens", "513"),
        ("max_new_tokens", "0"),
        ("seed", "4294967296"),
        ("seed", "9" * 5000),
    ],
)
def test_invalid_or_out_of_range_number_is_rejected(app: Flask, name: str, typed: str) -> None:
    with app.app_context(), pytest.raises(InvalidOptionError) as raised:
        check(**{name: typed})
    assert typed[:50] not in str(raised.value) or len(typed) < 5
    assert len(str(raised.value)) < 120


def test_invalid_name_or_instructions_are_rejected(app: Flask) -> None:
    with app.app_context():
        for error, typed in (
            (PersonaNameTooLongError, {"name": "n" * 81}),
            (InstructionsTooLongError, {"instructions": "i" * 4001}),
        ):
            with pytest.raises(error):
                check(**typed)
        assert check(instructions="a\x00b", name="a\x07\nb").instructions == "ab"
        assert len(check(instructions="i" * 4000).instructions or "") == 4000


def test_instructions_must_leave_room_in_context_window(app: Flask) -> None:
    with app.app_context():
        line = "I love to travel."
        assert chat_settings.estimate_tokens(f"{line}\n\n{line}", "blenderbot") > chat_settings.estimate_tokens(
            f"{line}\n\n{line}", "chat"
        )
        assert chat_settings.estimate_tokens("x" * 400, "text-to-text") == 0
        check(instructions=line, model=BLENDER)
        with pytest.raises(InstructionsTooLargeForContextError) as raised:
            check(instructions=f"{line}\n" * 10, model=BLENDER)
        assert "of the 128 tokens" in str(raised.value)
        assert check(instructions="x" * 4000, model="scripted")


def test_answer_keeps_settings_from_queue_time(people: People) -> None:
    answer = begin(people, TUTOR)
    chat_settings.update(answer.conversation, ChatSettings(None, "Be quick.", {}))
    assert chat_settings.read_from(generation(people, answer)) == TUTOR
    claim = finish()
    assert claim.instructions == ("Be patient.", "", "Ask back.")
    assert claim.generation_options == TUTOR.generation_options
    second = more(people, answer)
    assert chat_settings.read_from(generation(people, second)) == ChatSettings(None, "Be quick.", {})
    assert finish().instructions == ("Be quick.",)


def test_history_marks_settings_changes(people: People) -> None:
    first = begin(people)
    finish()
    second = more(people, first)
    finish()
    chat_settings.update(first.conversation, TUTOR)
    third = more(people, first)
    finish()
    # Another name alone tells the model nothing.
    chat_settings.update(first.conversation, ChatSettings("Teacher", TUTOR.instructions, TUTOR.generation_options))
    fourth = more(people, first)
    finish()
    chat_settings.update(first.conversation, ChatSettings())
    fifth = more(people, first)
    changes = [generation(people, each).settings_changed for each in (first, second, third, fourth, fifth)]
    assert changes == [False, False, True, False, True]


def test_continue_keeps_settings_and_retry_uses_new(people: People) -> None:
    answer = begin(people, TUTOR)
    finish(reason="length")
    chat_settings.update(answer.conversation, ChatSettings(None, "Be quick.", {}))
    reruns.queue(messages.get(people.alice, answer.public_id), keep_text=True, limits=LIMITS)
    assert finish(Status.FAILED, "error", text="").instructions[0] == "Be patient."
    reruns.queue(messages.get(people.alice, answer.public_id), keep_text=False, limits=LIMITS)
    assert finish().instructions == ("Be quick.",)


def test_changing_settings_of_foreign_conversation_fails(people: People) -> None:
    answer = begin(people)
    theirs = Conversation(id=answer.conversation_id, user_id=people.bob.id)
    with pytest.raises(ConversationNotFoundError):
        chat_settings.update(theirs, TUTOR)


def test_prompt_report_shows_instructions(people: People) -> None:
    answer = begin(people, TUTOR)
    [claim] = generation_leases.claim("runner", 1, 5, max_attempts=2)
    turns = claim.messages
    engine = ScriptedEngine()
    engine.load(lambda _progress: None)
    engine.submit(Request(1, turns, persona=claim.instructions))
    started = engine.poll_events(5)[0]
    engine.close()
    shown_report = serialize_prompt_report(started.report, turns)  # type: ignore[union-attr]
    news = GenerationUpdate(claim.attempts, "Yes.", 1, shown_report, Status.DONE, "end")
    generation_leases.heartbeat("runner", {claim.generation_id: news}, 5)
    assert "Be patient" not in str(shown_report), "the generation has the text of it"
    reading = prompt_report.load(messages.get(people.alice, answer.public_id))
    assert reading
    assert reading.persona == (TUTOR.instructions,)
    assert prompt_report.estimate_context_usage(answer.conversation) is not None
    chat_settings.update(answer.conversation, ChatSettings())
    assert prompt_report.estimate_context_usage(answer.conversation) is None


class Listener(ScriptedEngine):
    """The script, which remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(1000)
        self.requests: list[Request] = []
        self.asked = threading.Event()

    def submit(self, request: Request) -> None:
        """Take up a request."""
        self.requests.append(request)
        self.asked.set()
        super().submit(request)


def test_engine_receives_conversation_settings(app: Flask) -> None:
    """From the conversation through the runner to the engine, whose receipt says what it really used."""
    with app.app_context():
        alice = users.get_or_create_by_token("alice")
        answer = messages.start_conversation(
            alice, messages.NewConversation("Hi", settings=TUTOR), messages.NewMessage("/long 500"), limits=LIMITS
        ).answer
        name = answer.public_id
    engine, stop = Listener(), threading.Event()
    thread = threading.Thread(target=Runner(app, engine, stop).run)
    thread.start()
    try:
        assert engine.asked.wait(60)
        [request] = engine.requests
        assert request.persona == ("Be patient.", "", "Ask back.")
        options = request.options
        assert (options.temperature, options.max_new_tokens, options.seed) == (0.3, 40, 7)
        assert (options.top_p, options.top_k, options.repetition_penalty) == (None, None, None)
        with app.app_context():
            for _ in range(200):
                message = messages.get(users.identify_by_token("alice"), name)
                if not message.is_in_progress:
                    break
                db.session.rollback()
                stop.wait(0.05)
            assert message.generation
            assert message.generation.finish_reason == "length"
            assert message.generation.prompt_report["options"]["temperature"] == 0.3  # type: ignore[index]
    finally:
        stop.set()
        thread.join(60)
