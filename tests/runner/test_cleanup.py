"""The runner sweeps between its ticks, and what was swept is in no file any more."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import func, select

from chatsite.database import db, truncate_wal
from chatsite.errors import ConversationNotFoundError
from chatsite.models import Conversation, Status
from chatsite.runner.cleanup import Cleanup
from chatsite.services.accounts import users
from chatsite.services.chat import conversations, generation_leases, messages
from chatsite.services.chat.generation_update import GenerationUpdate
from chatsite.services.organize import tags, trash
from tests.conftest import LIMITS
from tests.support.stepped_runner import SteppedRunner, fake_clock

WORDS = "Quixotic zephyrs vex bold journeys"


@pytest.fixture
def app_context(app: Flask) -> Iterator[Flask]:
    """An app in its context."""
    with app.app_context():
        yield app
        db.session.remove()


def test_unfinished_cleanup_task_runs_again_soon(app_context: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    left = [True, False]

    def much() -> bool:
        done.append("much")
        return left.pop(0) if left else False

    def little() -> bool:
        done.append("little")
        return False

    cleanup_task = Cleanup((much, little))
    cleanup_task.poll()
    cleanup_task.poll()
    assert done == ["much", "little"]
    later = time.monotonic() + 2
    monkeypatch.setattr(time, "monotonic", lambda: later)
    cleanup_task.poll()
    cleanup_task.poll()
    assert done == ["much", "little", "much"]


def test_failing_cleanup_task_is_postponed(app_context: Flask) -> None:
    calls: list[int] = []

    def broken() -> bool:
        calls.append(1)
        raise RuntimeError("It broke.")

    cleanup_task = Cleanup((broken,))
    with pytest.raises(RuntimeError):
        cleanup_task.poll()
    cleanup_task.poll()
    assert len(calls) == 1


def test_clock_that_is_put_right_loses_no_temporary_chat(app_context: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that goes an hour ahead hides a chat that is open; for one lease it is not deleted."""
    new, question = messages.NewConversation("Hush", is_temporary=True), messages.NewMessage("Hush")
    alice = users.get_or_create_by_token("alice")
    with fake_clock(monkeypatch) as clock:
        stepped = SteppedRunner(app_context, clock)
        address = messages.start_conversation(alice, new, question, limits=LIMITS).conversation.public_id

        def look(minutes: float) -> bool:
            """Set the clock, have all that is due cleaned up, and return whether the chat is there."""
            clock.set_by(60 * minutes)
            stepped.runner._cleanup = Cleanup()
            stepped.runner._run_maintenance()
            try:
                return bool(conversations.get(alice, address))
            except ConversationNotFoundError:
                return False

        assert [look(0), look(90), look(-90)] == [True, False, True]
        assert not look(90)
        lease = app_context.config["LEASE_SECONDS"]
        for _ in range(4):
            clock.pass_seconds(lease / 4)
            stepped.runner._clock_watch.beat()
        assert [look(0), look(-90)] == [False, False]


def test_no_file_contains_permanently_deleted_text(app_context: Flask, tmp_path: Path) -> None:
    alice = users.get_or_create_by_token("alice")
    for number in range(20):
        turn = messages.start_conversation(
            alice,
            messages.NewConversation(f"{WORDS} {number}"),
            messages.NewMessage(f"{WORDS} {number} " * 50, str(number)),
            limits=LIMITS,
        )
        [claim] = generation_leases.claim("runner", 1, 5, max_attempts=2)
        generation_leases.heartbeat(
            "runner", {claim.generation_id: GenerationUpdate(1, text=WORDS * 90, new_tokens=1)}, 5
        )
        end = GenerationUpdate(1, text=".", new_tokens=1, status=Status.DONE, finish_reason="end")
        generation_leases.heartbeat("runner", {claim.generation_id: end}, 5)
        conversations.rename(turn.conversation, f"{WORDS} again {number}")
    names = [row.public_id for row in conversations.list_page(alice).items]
    tags.set_tag_by_name(alice, names, "Kept")
    assert holds(tmp_path)
    trash.move_to_trash(alice, names)
    trash.empty(alice)
    while trash.purge_due():
        pass
    db.session.remove()
    assert truncate_wal()
    assert not holds(tmp_path)
    assert db.session.scalar(select(func.count()).select_from(Conversation)) == 0


def holds(folder: Path) -> list[str]:
    """The files in which the words are."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [path.name for path in files if WORDS.encode() in path.read_bytes()]
