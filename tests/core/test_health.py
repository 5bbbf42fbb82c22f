"""Whether the process lives, and whether a question would be answered now."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import text

from chatsite.database import db
from chatsite.errors import as_error
from chatsite.models import RunnerState
from chatsite.services.models import runners
from tests.support.web_fixtures import WebClient


def say(app: Flask, state: RunnerState, reason: str | None = None) -> None:
    """Be a runner in that state."""
    with app.app_context():
        runners.heartbeat("runner", "scripted", state, error=as_error(reason) if reason else None)
        db.session.remove()


def test_site_without_runner_is_healthy_but_not_ready(alice: WebClient) -> None:
    assert alice.get("/healthz").status_code == 200
    response = alice.get("/readyz")
    assert (response.status_code, response.json) == (503, {"ready": False, "reason": "runner: no heartbeat"})


@pytest.mark.parametrize("state", [RunnerState.FETCHING, RunnerState.LOADING, RunnerState.FAILED])
def test_readyz_reports_unloaded_model(app: Flask, alice: WebClient, state: RunnerState) -> None:
    say(app, state, "there is no room")
    response = alice.get("/readyz")
    assert response.status_code == 503
    assert response.json
    assert response.json["reason"] == f"model: {state.value}: there is no room"


def test_readyz_succeeds_with_ready_model(app: Flask, alice: WebClient) -> None:
    say(app, RunnerState.READY)
    assert alice.get("/readyz").json == {"ready": True, "reason": None}


def test_readyz_reports_missing_tables(app: Flask, alice: WebClient) -> None:
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(text("DROP TABLE chunk"))
        connection.execute(text("DROP TABLE generation"))
    response = alice.get("/readyz")
    assert response.status_code == 503
    assert "database: OperationalError" in response.text
    assert alice.get("/healthz").status_code == 200
