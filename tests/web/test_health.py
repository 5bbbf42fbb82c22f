"""Whether the process lives, and whether a question would be answered now."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import text

from chatsite.database import db
from chatsite.models import RunnerState
from chatsite.services import runners
from tests.web.conftest import Browser


def say(app: Flask, state: RunnerState, reason: str | None = None) -> None:
    """Be a runner in that state."""
    with app.app_context():
        runners.beat("runner", "scripted", state, reason=reason)
        db.session.remove()


def test_a_site_without_a_runner_lives_and_is_not_ready(alice: Browser) -> None:
    assert alice.get("/healthz").status_code == 200
    response = alice.get("/readyz")
    assert (response.status_code, response.json) == (503, {"ready": False, "reason": "runner: no heartbeat"})


@pytest.mark.parametrize("state", [RunnerState.FETCHING, RunnerState.LOADING, RunnerState.FAILED])
def test_a_model_that_is_not_there_yet_is_the_reason(app: Flask, alice: Browser, state: RunnerState) -> None:
    say(app, state, "there is no room")
    response = alice.get("/readyz")
    assert response.status_code == 503
    assert response.json
    assert response.json["reason"] == f"model: {state.value}: there is no room"


def test_a_ready_model_makes_the_site_ready(app: Flask, alice: Browser) -> None:
    say(app, RunnerState.READY)
    assert alice.get("/readyz").json == {"ready": True, "reason": None}


def test_a_database_without_its_tables_is_the_reason(app: Flask, alice: Browser) -> None:
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(text("DROP TABLE chunk"))
        connection.execute(text("DROP TABLE generation"))
    response = alice.get("/readyz")
    assert response.status_code == 503
    assert "database: OperationalError" in response.text
    assert alice.get("/healthz").status_code == 200
