"""Titles by the runner: after the first answer, behind all answers, by models that can, and nowhere to be seen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import func, select

from chatsite.database import db
from chatsite.engine.catalog.catalog import BUILTIN_ENTRIES
from chatsite.engine.scripted import ScriptedEngine
from chatsite.engine.types import Request
from chatsite.models import Conversation, Generation, Message, TitleRequest, TitleSource
from chatsite.runner import title_writer
from chatsite.runner.process import build_model_pool
from chatsite.services.accounts import users
from chatsite.services.chat import conversations, message_pages, messages
from chatsite.services.models import catalog
from chatsite.services.models.choice import ModelChoice
from chatsite.services.transfer.exports import export_json
from tests.conftest import LIMITS, close_app, make_app
from tests.runner.test_loop import running, until
from tests.support import trained_models
from tests.support.stepped_runner import Clock, SteppedRunner

MODEL = "qwen3-0.6b"
QUESTION = "/say By light. /title Rainbows and light"


def ask(text: str = QUESTION, model: str = MODEL, user: str = "alice") -> Conversation:
    new = messages.NewConversation("By rule", wants_model_title=True)
    alice, choice = users.get_or_create_by_token(user), ModelChoice(model)
    return messages.start_conversation(alice, new, messages.NewMessage(text), limits=LIMITS, choice=choice).conversation


def title_of(conversation: Conversation) -> str:
    db.session.rollback()
    return db.session.get_one(Conversation, conversation.id, populate_existing=True).title


def count_requests() -> int:
    db.session.rollback()
    return db.session.scalar(select(func.count()).select_from(TitleRequest)) or 0


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Flask]:
    """An app, in its context."""
    app = make_app(tmp_path)
    with app.app_context():
        yield app
        db.session.remove()
    close_app(app)


@pytest.fixture
def runner(site: Flask) -> SteppedRunner:
    return SteppedRunner(site, Clock())


def answer_all(runner: SteppedRunner) -> None:
    """Write all that is claimed to its end and store it."""
    runner.claim()
    runner.engine.write(1000)
    runner.save()


def test_title_is_written_by_running_runner(any_app: Flask) -> None:
    with any_app.app_context():
        conversation = ask()
        with running(any_app, ScriptedEngine(2000)):
            until(lambda: title_of(conversation) == "Rainbows and light")
        until(lambda: count_requests() == 0)


def test_title_is_no_message_and_nothing_of_it_is_kept(site: Flask, runner: SteppedRunner) -> None:
    conversation = ask()
    answer_all(runner)
    answer_all(runner)
    assert title_of(conversation) == "Rainbows and light"
    db.session.rollback()
    assert [each.role.value for each in message_pages.page_before(conversation).messages] == ["user", "assistant"]
    assert db.session.scalar(select(func.count()).select_from(Generation)) == 1
    assert db.session.scalar(select(func.count()).select_from(Message)) == 2
    exported = json.loads("".join(export_json.export(conversation.user_id)))
    assert "title_source" not in json.dumps(exported)
    assert "Write a title" not in json.dumps(exported)
    report = db.session.scalars(select(Generation.prompt_report)).one()
    assert "Write a title" not in json.dumps(report)


@pytest.mark.parametrize(
    ("text", "title"), [("I'm sorry, no", "By rule"), ("", "By rule"), ("Title: “Light.”", "Light")]
)
def test_text_of_model_is_cleaned_or_not_used(site: Flask, runner: SteppedRunner, text: str, title: str) -> None:
    conversation = ask(f"/say x /title {text}")
    answer_all(runner)
    answer_all(runner)
    assert title_of(conversation) == title
    assert count_requests() == 0


def test_text_that_was_cut_is_not_used(site: Flask) -> None:
    conversation = ask("/say x /title " + "word " * 30)
    with running(site, ScriptedEngine(2000)):
        until(lambda: count_requests() == 0)
    assert title_of(conversation) == "By rule"


def test_request_is_short_and_loads_nothing(
    site: Flask, runner: SteppedRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: list[Request] = []
    submit = runner.engine.submit

    def note(request: Request) -> None:
        requests.append(request)
        submit(request)

    monkeypatch.setattr(runner.engine, "submit", note)
    ask()
    answer_all(runner)
    runner.claim()
    answer, title = requests
    assert (answer.is_background, title.is_background) == (False, True)
    assert (title.model, title.persona, title.prefix) == (MODEL, (), "")
    assert title.options.max_new_tokens <= 16
    assert title.options.seconds <= 30


def test_title_begins_only_when_nothing_is_queued_or_written(site: Flask, runner: SteppedRunner) -> None:
    ask()
    answer_all(runner)
    ask("/say second", user="bob")
    runner.claim()
    assert runner.runner._title_writer._active is None
    runner.engine.write(1000)
    runner.save()
    runner.claim()
    assert runner.runner._title_writer._active is not None


def test_queued_answer_that_this_runner_may_not_claim_comes_first(site: Flask, runner: SteppedRunner) -> None:
    ask()
    answer_all(runner)
    ask("/say second", user="bob")
    runner.runner._claim_title()
    assert runner.runner._title_writer._active is None


def test_title_makes_room_for_answer(site: Flask, runner: SteppedRunner) -> None:
    conversation = ask()
    answer_all(runner)
    runner.claim()
    runner.engine.write(3)
    runner.save()
    second = ask("/say Here", user="bob")
    runner.claim()
    # The engine has the answer alone, and the attempt does not count.
    assert list(runner.engine.texts.values()) == ["Here"]
    assert db.session.scalars(select(TitleRequest.attempts).order_by(TitleRequest.conversation_id)).all() == [0, 0]
    answer_all(runner)
    answer_all(runner)
    answer_all(runner)
    assert (title_of(conversation), title_of(second)) == ("Rainbows and light", "By rule")


def test_title_is_given_up_after_a_busy_minute(
    site: Flask, runner: SteppedRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = ask()
    answer_all(runner)
    second = ask("/say second", user="bob")
    runner.claim()
    assert count_requests() == 2
    monkeypatch.setattr(title_writer, "MAX_BUSY_SECONDS", -1.0)
    runner.claim()
    assert db.session.scalars(select(TitleRequest.conversation_id)).all() == [second.id]
    runner.engine.write(1000)
    runner.save()
    answer_all(runner)
    assert title_of(conversation) == "By rule"


def test_killed_runner_loses_no_title(site: Flask, runner: SteppedRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    conversation = ask()
    answer_all(runner)
    monkeypatch.setattr(runner.runner._title_writer, "_lease_seconds", -1.0)
    runner.claim()
    runner.engine.write(4)
    assert runner.runner._title_writer._active
    other = SteppedRunner(site, Clock())
    answer_all(other)
    assert title_of(conversation) == "Rainbows and light"
    # The first one was only frozen, and writes on.
    runner.engine.write(1000)
    runner.save()
    assert title_of(conversation) == "Rainbows and light"
    assert count_requests() == 0


def test_runner_that_ends_hands_title_back(site: Flask, runner: SteppedRunner) -> None:
    conversation = ask()
    answer_all(runner)
    runner.claim()
    runner.end()
    [row] = db.session.execute(select(TitleRequest.lease_owner, TitleRequest.attempts)).all()
    assert tuple(row) == (None, 0)
    answer_all(SteppedRunner(site, Clock()))
    assert title_of(conversation) == "Rainbows and light"


def test_title_of_person_stays_that_came_meanwhile(site: Flask, runner: SteppedRunner) -> None:
    conversation = ask()
    answer_all(runner)
    runner.claim()
    runner.engine.write(5)
    runner.save()
    conversations.rename(db.session.get_one(Conversation, conversation.id), "Mine")
    runner.engine.write(1000)
    runner.save()
    assert title_of(conversation) == "Mine"
    assert db.session.get_one(Conversation, conversation.id).title_source is TitleSource.PERSON


def test_engine_that_never_ends_a_title_keeps_nothing_waiting(
    site: Flask, runner: SteppedRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = ask()
    answer_all(runner)
    runner.claim()
    runner.engine.write(8)
    runner.save()
    monkeypatch.setattr(title_writer, "TIMEOUT_SECONDS", -1.0)
    runner.save()
    assert (title_of(conversation), count_requests()) == ("By rule", 0), "What is cut is no title."
    assert runner.engine.texts == {}


def test_engine_that_refuses_ends_the_title_alone(
    site: Flask, runner: SteppedRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = ask()
    answer_all(runner)

    def refuse(request: Request) -> None:
        raise RuntimeError("No.")

    monkeypatch.setattr(runner.engine, "submit", refuse)
    runner.claim()
    runner.save()
    assert (title_of(conversation), count_requests()) == ("By rule", 0)


@pytest.mark.parametrize("model", ["smollm2-135m-instruct", "blenderbot-3b", "gpt2", "scripted", "no-such-model"])
def test_models_that_cannot_are_not_asked(site: Flask, runner: SteppedRunner, model: str) -> None:
    conversation = ask(model=model)
    answer_all(runner)
    answer_all(runner)
    assert (title_of(conversation), count_requests()) == ("By rule", 0)


def test_catalog_says_which_models_can() -> None:
    can = {entry.name for entry in BUILTIN_ENTRIES if entry.can_write_titles}
    assert {"qwen2.5-0.5b-instruct", MODEL} <= can
    assert not can & {"smollm2-135m-instruct", "smollm2-360m-instruct", "gpt2", "dialogpt-medium", "scripted"}
    assert not any(entry.can_write_titles for entry in BUILTIN_ENTRIES if entry.family != "chat")
    entry = next(entry for entry in BUILTIN_ENTRIES if entry.name == MODEL)
    assert not replace(entry, parameter_count=0).can_write_titles
    assert not replace(entry, is_historic=True).can_write_titles
    config = catalog.CatalogConfig("scripted")
    assert catalog.can_write_titles(config, MODEL)
    assert not catalog.can_write_titles(config, None)
    assert not catalog.can_write_titles(config, "no-such-model")


def test_setting_turns_titles_off(tmp_path: Path) -> None:
    app = make_app(tmp_path, MODEL_TITLES=False)
    with app.app_context():
        conversation, runner = ask(), SteppedRunner(app, Clock())
        answer_all(runner)
        answer_all(runner)
        assert title_of(conversation) == "By rule"
        db.session.remove()
    close_app(app)


def test_real_model_names_conversation(tmp_path: Path) -> None:
    """With a tiny model that knows by heart what it is to say: the whole way, from the catalog to the sidebar."""
    trained_models.make_naming_model(tmp_path / "tiny", "Tell me about foxes.", "Foxes are red.", "Foxes")
    table = '[tiny]\nfolder = "tiny"\nfamily = "chat"\nparameters = 500000000\n'
    (tmp_path / "models.toml").write_text(table, "utf-8")
    app = make_app(tmp_path, DEFAULT_MODEL="tiny", CUSTOM_MODELS_FILE=tmp_path / "models.toml", PRECISION="fp32")
    with app.app_context():
        conversation = ask("Tell me about foxes.", model="tiny")
        with running(app, build_model_pool(app.config)):
            until(lambda: title_of(conversation) == "Foxes")
        assert db.session.get_one(Conversation, conversation.id).title_source is TitleSource.MODEL
        assert db.session.scalars(select(Message.text).order_by(Message.id)).all()[1] == "Foxes are red."
        db.session.remove()
    close_app(app)
