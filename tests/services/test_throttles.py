"""Throttles: so many times in so many seconds, whoever asks at the same moment."""

from __future__ import annotations

import threading
import time

import pytest
from flask import Flask
from sqlalchemy import func, select, update

from chatsite.database import db, write_transaction
from chatsite.models import Throttle
from chatsite.services import throttles
from chatsite.services.throttles import Rate

HOUR = 3600.0


def admit(key: str = "a") -> bool:
    """What one request does."""
    with write_transaction() as tx:
        return throttles.admit(tx, key, Rate(5, HOUR))


def shift(seconds: float) -> None:
    """Let so much time pass for all keys."""
    with write_transaction() as tx:
        tx.execute(update(Throttle).values(next_at=Throttle.next_at - seconds))


@pytest.fixture
def _context(any_app: Flask):
    with any_app.app_context():
        yield
        db.session.remove()


@pytest.mark.usefixtures("_context")
def test_count_is_admitted_at_once_and_then_one_in_each_interval() -> None:
    assert [admit() for _ in range(7)] == [True] * 5 + [False] * 2
    assert admit("b")
    shift(HOUR / 5 + 1)
    assert [admit() for _ in range(2)] == [True, False]
    shift(HOUR)
    assert [admit() for _ in range(7)] == [True] * 5 + [False] * 2


@pytest.mark.usefixtures("_context")
def test_clock_that_is_set_back_locks_nobody_out() -> None:
    assert [admit() for _ in range(6)] == [True] * 5 + [False]
    shift(-1000 * HOUR)
    assert admit()


@pytest.mark.usefixtures("_context")
def test_past_throttles_are_deleted() -> None:
    assert admit("a")
    shift(HOUR)
    assert admit("b")
    assert not throttles.purge_past()
    assert db.session.scalars(select(Throttle.key)).all() == ["b"]


def test_requests_at_the_same_moment_get_no_more_than_there_is(any_app: Flask) -> None:
    admitted: list[bool] = []

    def ask() -> None:
        with any_app.app_context():
            admitted.extend(admit() for _ in range(5))
            db.session.remove()

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(admitted) == [False] * 25 + [True] * 5
    with any_app.app_context():
        assert db.session.scalar(select(func.count()).select_from(Throttle)) == 1
        assert (db.session.scalar(select(Throttle.next_at)) or 0) <= time.time() + HOUR
        db.session.remove()
