"""`chatsite demo`: an instance with something of everything in it, and answers in every state."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import func, select

from chatsite.database import db
from chatsite.devtools.demo.prompt_reports import split_pieces
from chatsite.devtools.demo.seed import InstanceNotEmptyError, seed_conversations
from chatsite.devtools.demo.seed_states import ANSWER_EXAMPLES, STATES_TAG, seed_all_states
from chatsite.devtools.demo.transcripts import load_transcripts, parse_transcript
from chatsite.models import Conversation, Generation, Message, Role, Share, Status, User
from chatsite.services.accounts import terminal_links, users
from chatsite.services.chat import conversations, prompt_report
from chatsite.services.organize import tags, trash
from tests.cli.conftest import RunCommand
from tests.conftest import close_app, make_app


@pytest.fixture(scope="module")
def demo_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """An app on an instance with the demo and all states in it, entered."""
    app = make_app(tmp_path_factory.mktemp("demo"), SQLITE_SYNCHRONOUS="OFF")
    with app.app_context():
        seed_all_states(app.config, seed_conversations(app.config))
        yield app
    close_app(app)


@pytest.fixture
def visitor(demo_app: Flask) -> User:
    """Whose the demo is: the terminal's visitor."""
    return users.get_or_create_by_token(terminal_links.terminal_token(Path(demo_app.config["INSTANCE"])))


def test_demo_command_fills_instance_and_prints_link(run_command: RunCommand) -> None:
    done = run_command("demo", "--site", "http://chat.example.org")
    assert done.returncode == 0, done.stderr
    assert "http://chat.example.org/terminal-links/" in done.stdout
    kept = [each for each in load_transcripts() if not each.has_flag("trashed")]
    assert f"Created {len(kept)} chats." in done.stdout
    again = run_command("demo")
    assert again.returncode == 1
    assert "This instance already has chats." in again.stderr


def test_demo_rejects_instance_with_conversations(demo_app: Flask) -> None:
    before = db.session.scalar(select(func.count(Conversation.id)))
    with pytest.raises(InstanceNotEmptyError):
        seed_conversations(demo_app.config)
    assert db.session.scalar(select(func.count(Conversation.id))) == before


def test_demo_has_every_kind_of_data(visitor: User) -> None:
    scripts = load_transcripts()
    listed = conversations.list_page(visitor, size=100).items
    assert len(scripts) >= 25
    assert sum(talk.pinned for talk in listed) == 2
    assert len(conversations.list_archived(visitor).items) == 3
    assert len(trash.list_page(visitor).items) == 2
    assert db.session.scalar(select(func.count(Share.id))) == 2
    assert len(tags.list_for(visitor)) >= 6
    assert db.session.scalar(select(func.count()).where(Generation.rating == -1)) == 1
    assert (db.session.scalar(select(func.count()).where(Message.in_comparison)) or 0) >= 2
    versions = select(func.count()).where(Message.role == Role.ASSISTANT, ~Message.is_active, ~Message.in_comparison)
    assert db.session.scalar(versions) == 2


def test_demo_conversations_span_several_weeks(visitor: User) -> None:
    moments = [talk.updated_at for talk in conversations.list_page(visitor, size=100).items if not talk.pinned]
    assert moments == sorted(moments, reverse=True)
    assert (moments[0] - moments[-1]).days >= 14


def test_demo_prompt_reports_are_readable(visitor: User) -> None:
    talk = next(each for each in conversations.list_page(visitor, size=100).items if "Biscuit" in each.title)
    answer = db.session.get_one(Message, talk.active_leaf_id)
    reading = prompt_report.load(answer)
    assert reading is not None
    assert reading.used_tokens <= reading.budget_tokens
    assert reading.dropped_turns, "BlenderBot's window is shorter than this conversation"
    assert all("".join(turn.token_texts) == turn.text for turn in reading.kept_turns)


def test_demo_has_conversation_in_every_state(visitor: User) -> None:
    tag = next(each for each in tags.list_for(visitor) if each.name == STATES_TAG)
    found = {
        talk.title: db.session.get_one(Message, talk.active_leaf_id)
        for talk in conversations.list_tagged(visitor, tag).items
    }
    assert set(found) == {state.title for state in ANSWER_EXAMPLES}
    assert {answer.status for answer in found.values()} == set(Status)
    for state in ANSWER_EXAMPLES:
        if state.update is not None and not state.update.status:
            assert found[state.title].status is Status.GENERATING, state.title


def test_transcript_is_parsed() -> None:
    script = parse_transcript(
        "a", "title: T\nage: 2h\n\n>>>\nOne\n\n?\n<<< bad=It is wrong, sadly.\nNo\n<<< model=m version\nYes\n"
    )
    assert script.age.total_seconds() == 7200
    assert [line.text for line in script.lines] == ["One\n\n?", "No", "Yes"]
    assert script.lines[1].marks == {"bad": "It is wrong, sadly."}
    assert script.lines[2].marks == {"model": "m", "version": ""}


def test_token_pieces_join_to_whole_text() -> None:
    text = "Ünder  one\n\nroof, 12,345 — ça va? السلام عليكم"
    assert "".join(split_pieces(text)) == text
