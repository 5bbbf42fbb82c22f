"""`chatsite demo`: an instance with something of everything in it, and answers in every state."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import func, select

from chatsite.cli.demo.filling import NotEmptyError, fill
from chatsite.cli.demo.held import STATES, TAG, hold
from chatsite.cli.demo.reading import pieces
from chatsite.cli.demo.scripts import all_scripts, read
from chatsite.database import db
from chatsite.models import Conversation, Generation, Message, Role, Share, Status, User
from chatsite.services import accounts, conversations, links, receipts, tags, trash
from tests.cli.conftest import Run
from tests.conftest import close, make_app


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """An app on an instance with the demo and all states in it, entered."""
    app = make_app(tmp_path_factory.mktemp("demo"), SQLITE_SYNCHRONOUS="OFF")
    with app.app_context():
        hold(app.config, fill(app.config))
        yield app
    close(app)


@pytest.fixture
def visitor(demo: Flask) -> User:
    """Whose the demo is: the terminal's visitor."""
    return accounts.find_or_create(links.terminal_token(Path(demo.config["INSTANCE"])))


def test_the_command_fills_an_empty_instance_and_tells_how_to_see_it(run: Run) -> None:
    done = run("demo", "--site", "http://chat.example.org")
    assert done.returncode == 0, done.stderr
    assert "http://chat.example.org/links/" in done.stdout
    again = run("demo")
    assert again.returncode == 1
    assert "There are conversations here already." in again.stderr


def test_it_refuses_an_instance_with_conversations(demo: Flask) -> None:
    before = db.session.scalar(select(func.count(Conversation.id)))
    with pytest.raises(NotEmptyError):
        fill(demo.config)
    assert db.session.scalar(select(func.count(Conversation.id))) == before


def test_there_is_something_of_everything(visitor: User) -> None:
    scripts = all_scripts()
    listed = conversations.page(visitor, size=100).items
    assert len(scripts) >= 25
    assert sum(talk.pinned for talk in listed) == 2
    assert len(conversations.archived(visitor).items) == 3
    assert len(trash.page(visitor).items) == 2
    assert db.session.scalar(select(func.count(Share.id))) == 2
    assert len(tags.index(visitor)) >= 6
    assert db.session.scalar(select(func.count()).where(Generation.rating == -1)) == 1
    assert db.session.scalar(select(func.count()).where(Message.comparing)) >= 2
    versions = select(func.count()).where(Message.role == Role.ASSISTANT, ~Message.shown, ~Message.comparing)
    assert db.session.scalar(versions) == 2


def test_its_conversations_are_of_several_weeks(visitor: User) -> None:
    moments = [talk.updated_at for talk in conversations.page(visitor, size=100).items if not talk.pinned]
    assert moments == sorted(moments, reverse=True)
    assert (moments[0] - moments[-1]).days >= 14


def test_its_receipts_can_be_read(visitor: User) -> None:
    talk = next(each for each in conversations.page(visitor, size=100).items if "Biscuit" in each.title)
    answer = db.session.get_one(Message, talk.leaf_id)
    reading = receipts.reading(answer)
    assert reading is not None
    assert reading.used <= reading.budget
    assert reading.left_out, "BlenderBot's window is shorter than this conversation"
    assert all("".join(turn.pieces) == turn.text for turn in reading.kept)


def test_there_is_a_conversation_in_every_state(visitor: User) -> None:
    tag = next(each for each in tags.index(visitor) if each.name == TAG)
    found = {talk.title: db.session.get_one(Message, talk.leaf_id) for talk in conversations.tagged(visitor, tag).items}
    assert set(found) == {state.title for state in STATES}
    assert {answer.status for answer in found.values()} == set(Status)
    for state in STATES:
        if state.written is not None and not state.written.status:
            assert found[state.title].status is Status.GENERATING, state.title


def test_scripts_say_what_is_told_of_what_was_said() -> None:
    script = read(
        "a", "title: T\nage: 2h\n\n>>>\nOne\n\n?\n<<< bad=It is wrong, sadly.\nNo\n<<< model=m version\nYes\n"
    )
    assert script.age.total_seconds() == 7200
    assert [line.text for line in script.said] == ["One\n\n?", "No", "Yes"]
    assert script.said[1].words == {"bad": "It is wrong, sadly."}
    assert script.said[2].words == {"model": "m", "version": ""}


def test_pieces_are_the_whole_text() -> None:
    text = "Ünder  one\n\nroof, 12,345 — ça va? السلام عليكم"
    assert "".join(pieces(text)) == text
