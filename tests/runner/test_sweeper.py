"""The runner sweeps between its ticks, and what was swept is in no file any more."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import func, select

from chatsite.database import db, scrub
from chatsite.models import Conversation
from chatsite.runner import sweeper
from chatsite.runner.sweeper import Sweeper
from chatsite.services import accounts, claims, conversations, messages, tags, trash
from tests.conftest import LIMITS

WORDS = "Quixotic zephyrs vex bold journeys"


@pytest.fixture
def inside(app: Flask) -> Iterator[Flask]:
    """An app in its context."""
    with app.app_context():
        yield app
        db.session.remove()


def test_every_chore_is_done_and_what_is_not_finished_goes_on_soon(
    inside: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    left = [True, False]

    def much() -> bool:
        done.append("much")
        return left.pop(0) if left else False

    def little() -> bool:
        done.append("little")
        return False

    broom = Sweeper((much, little))
    broom.tend()
    broom.tend()
    assert done == ["much", "little"]
    later = time.monotonic() + 2
    monkeypatch.setattr(sweeper.time, "monotonic", lambda: later)
    broom.tend()
    broom.tend()
    assert done == ["much", "little", "much"]


def test_a_chore_that_fails_does_not_keep_the_runner_from_its_work(inside: Flask) -> None:
    calls: list[int] = []

    def broken() -> bool:
        calls.append(1)
        raise RuntimeError("It broke.")

    broom = Sweeper((broken,))
    with pytest.raises(RuntimeError):
        broom.tend()
    broom.tend()
    assert len(calls) == 1


def test_nothing_is_left_in_the_files_of_what_is_deleted_for_good(inside: Flask, tmp_path: Path) -> None:
    alice = accounts.find_or_create("alice")
    for number in range(20):
        turn = messages.start(alice, f"{WORDS} {number} " * 50, str(number), f"{WORDS} {number}", LIMITS)
        [claim] = claims.claim("runner", 1, 5, 2)
        claims.record("runner", {claim.generation_id: claims.Written(1, text=WORDS * 90, tokens=1)}, 5)
        end = claims.Written(1, text=".", tokens=1, status=messages.generations.Status.DONE, reason="end")
        claims.record("runner", {claim.generation_id: end}, 5)
        conversations.rename(turn.conversation, f"{WORDS} again {number}")
    names = [row.public_id for row in conversations.page(alice).items]
    tags.mark_as(alice, names, "Kept")
    assert holds(tmp_path)
    trash.throw(alice, names)
    trash.empty(alice)
    while trash.sweep():
        pass
    db.session.remove()
    assert scrub()
    assert not holds(tmp_path)
    assert db.session.scalar(select(func.count()).select_from(Conversation)) == 0


def holds(folder: Path) -> list[str]:
    """The files in which the words are."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [path.name for path in files if WORDS.encode() in path.read_bytes()]
