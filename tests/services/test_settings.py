"""Settings: what is accepted, what an answer is queued with, and what of it reaches the engine."""

from __future__ import annotations

import threading

import pytest
from flask import Flask

from chatsite.database import db
from chatsite.engine import Request
from chatsite.engine.scripted import ScriptedEngine
from chatsite.errors import (
    ControlCharactersError,
    ConversationGoneError,
    InstructionsTooLongError,
    NameTooLongError,
    NumberError,
    RoomError,
)
from chatsite.models import Conversation, Generation, Message, Status
from chatsite.runner.loop import Runner
from chatsite.runner.receipts import compact
from chatsite.services import accounts, claims, generations, messages, models, receipts, settings
from chatsite.services.answerers import Answerer
from chatsite.services.models import Known
from chatsite.services.settings import Settings
from tests.conftest import LIMITS, People

SITE = Known("scripted")
BLENDER = "blenderbot-400m-distill"
TUTOR = Settings("Tutor", "Be patient.\n\nAsk back.", {"temperature": 0.3, "max_new_tokens": 40, "seed": 7})


def check(name: str = "", instructions: str = "", model: str = "", **numbers: str) -> Settings:
    card = models.get(SITE, model) if model else None
    return settings.check(name, instructions, numbers, 512, card)


def begin(people: People, wishes: Settings | None = None, answerer: Answerer | None = None) -> Message:
    return messages.start(people.alice, "Hi", "", "Hi", LIMITS, answerer, wishes).answer


def more(people: People, answer: Message) -> Message:
    return messages.post(people.alice, answer.conversation, "More", "", LIMITS).answer


def finish(status: Status = Status.DONE, reason: str = "end", text: str = "Yes.") -> claims.Claim:
    [claim] = claims.claim("runner", 1, 5, 2)
    news = claims.Written(claim.attempt, text=text, tokens=1, status=status, reason=reason)
    claims.record("runner", {claim.generation_id: news}, 5)
    return claim


def generation(people: People, answer: Message) -> Generation:
    found = messages.get(people.alice, answer.public_id).generation
    assert found
    return found


def test_what_is_typed_is_tidied_and_what_is_empty_asks_for_nothing(any_app: Flask) -> None:
    with any_app.app_context():
        assert not check(temperature=" ", top_p="")
        found = check("  My \n tutor ", "\r\nOne.\r\nTwo.\n", temperature="0,5", top_k="40", seed="4294967295")
        assert found == Settings("My tutor", "One.\nTwo.", {"temperature": 0.5, "top_k": 40, "seed": 4294967295})


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
def test_a_number_that_is_none_or_too_great(app: Flask, name: str, typed: str) -> None:
    with app.app_context(), pytest.raises(NumberError) as raised:
        check(**{name: typed})
    assert typed[:50] not in str(raised.value) or len(typed) < 5
    assert len(str(raised.value)) < 120


def test_texts_that_cannot_be_kept(app: Flask) -> None:
    with app.app_context():
        for error, typed in (
            (NameTooLongError, {"name": "n" * 81}),
            (InstructionsTooLongError, {"instructions": "i" * 4001}),
            (ControlCharactersError, {"instructions": "a\x00b"}),
            (ControlCharactersError, {"name": "a\x1bb"}),
        ):
            with pytest.raises(error):
                check(**typed)
        assert len(check(instructions="i" * 4000).instructions or "") == 4000


def test_instructions_leave_room_for_a_conversation(app: Flask) -> None:
    with app.app_context():
        line = "I love to travel."
        assert settings.tokens(f"{line}\n\n{line}", "blenderbot") > settings.tokens(f"{line}\n\n{line}", "chat")
        assert settings.tokens("x" * 400, "text-to-text") == 0
        check(instructions=line, model=BLENDER)
        with pytest.raises(RoomError) as raised:
            check(instructions=f"{line}\n" * 10, model=BLENDER)
        assert "of the 128 tokens" in str(raised.value)
        assert check(instructions="x" * 4000, model="scripted")


def test_an_answer_keeps_the_settings_that_it_was_queued_with(people: People) -> None:
    answer = begin(people, TUTOR)
    settings.change(answer.conversation, Settings(None, "Be quick.", {}))
    assert settings.of(generation(people, answer)) == TUTOR
    claim = finish()
    assert claim.instructions == ("Be patient.", "", "Ask back.")
    assert claim.numbers == TUTOR.numbers
    second = more(people, answer)
    assert settings.of(generation(people, second)) == Settings(None, "Be quick.", {})
    assert finish().instructions == ("Be quick.",)


def test_the_history_knows_where_settings_changed(people: People) -> None:
    first = begin(people)
    finish()
    second = more(people, first)
    finish()
    settings.change(first.conversation, TUTOR)
    third = more(people, first)
    finish()
    # Another name alone tells the model nothing.
    settings.change(first.conversation, Settings("Teacher", TUTOR.instructions, TUTOR.numbers))
    fourth = more(people, first)
    finish()
    settings.change(first.conversation, Settings())
    fifth = more(people, first)
    resets = [generation(people, each).resets for each in (first, second, third, fourth, fifth)]
    assert resets == [False, False, True, False, True]


def test_what_goes_on_with_a_text_goes_on_by_its_settings(people: People) -> None:
    answer = begin(people, TUTOR)
    finish(reason="length")
    settings.change(answer.conversation, Settings(None, "Be quick.", {}))
    generations.repeat(messages.get(people.alice, answer.public_id), keep_text=True, limits=LIMITS)
    assert finish(Status.FAILED, "error", text="").instructions[0] == "Be patient."
    generations.repeat(messages.get(people.alice, answer.public_id), keep_text=False, limits=LIMITS)
    assert finish().instructions == ("Be quick.",)


def test_settings_of_a_conversation_that_is_gone(people: People) -> None:
    answer = begin(people)
    theirs = Conversation(id=answer.conversation_id, user_id=people.bob.id)
    with pytest.raises(ConversationGoneError):
        settings.change(theirs, TUTOR)


def test_what_was_told_is_read_again_from_the_receipt(people: People) -> None:
    answer = begin(people, TUTOR)
    [claim] = claims.claim("runner", 1, 5, 2)
    turns = claim.turns
    engine = ScriptedEngine()
    engine.load(lambda _progress: None)
    engine.submit(Request(1, turns, persona=claim.instructions))
    started = engine.events(5)[0]
    engine.close()
    receipt = compact(started.receipt, turns)  # type: ignore[union-attr]
    news = claims.Written(claim.attempt, "Yes.", 1, receipt, Status.DONE, "end")
    claims.record("runner", {claim.generation_id: news}, 5)
    assert "Be patient" not in str(receipt), "the generation has the text of it"
    reading = receipts.reading(messages.get(people.alice, answer.public_id))
    assert reading
    assert reading.persona == (TUTOR.instructions,)
    assert receipts.outlook(answer.conversation) is not None
    settings.change(answer.conversation, Settings())
    assert receipts.outlook(answer.conversation) is None


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


def test_the_engine_is_told(app: Flask) -> None:
    """From the conversation through the runner to the engine, whose receipt says what it really used."""
    with app.app_context():
        alice = accounts.find_or_create("alice")
        answer = messages.start(alice, "/long 500", "", "Hi", LIMITS, None, TUTOR).answer
        name = answer.public_id
    engine, stop = Listener(), threading.Event()
    thread = threading.Thread(target=Runner(app, engine, stop).run)
    thread.start()
    try:
        assert engine.asked.wait(10)
        [request] = engine.requests
        assert request.persona == ("Be patient.", "", "Ask back.")
        options = request.options
        assert (options.temperature, options.max_new_tokens, options.seed) == (0.3, 40, 7)
        assert (options.top_p, options.top_k, options.repetition_penalty) == (None, None, None)
        with app.app_context():
            for _ in range(200):
                message = messages.get(accounts.find("alice"), name)
                if not message.active:
                    break
                db.session.rollback()
                stop.wait(0.05)
            assert message.generation
            assert message.generation.finish_reason == "length"
            assert message.generation.receipt["options"]["temperature"] == 0.3  # type: ignore[index]
    finally:
        stop.set()
        thread.join(20)
