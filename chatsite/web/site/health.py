"""Health checks: whether the process is alive, and whether the site can answer questions."""

from __future__ import annotations

from flask import Blueprint, Response, current_app, jsonify

from chatsite.database_probe import DatabaseProbe
from chatsite.errors import StorageError
from chatsite.models import Runner, RunnerState
from chatsite.services.models import runners

bp = Blueprint("health", __name__)


@bp.get("/healthz")
def healthz() -> Response:
    """Return status 200 while this process handles requests."""
    return jsonify(alive=True)


@bp.get("/readyz")
def readyz() -> tuple[Response, int]:
    """Return status 200 if a question would be stored and answered now, or else 503 with the reason."""
    reason = _database_problem() or _runner_problem()
    return jsonify(ready=reason is None, reason=reason), 200 if reason is None else 503


def _database_problem() -> str | None:
    probe: DatabaseProbe = current_app.extensions["database_probe"]
    problem = probe.find_problem()
    return f"database: {problem}" if problem else None


def _runner_problem() -> str | None:
    try:
        runner: Runner | None = runners.find_current(current_app.config["LEASE_SECONDS"])
    except StorageError as error:
        return f"database: {error.code}"
    if runner is None:
        return "runner: no heartbeat"
    if runner.state is RunnerState.READY:
        return None
    return f"model: {runner.state.value}" + (f": {runner.error}" if runner.error else "")
