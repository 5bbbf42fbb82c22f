"""Whether the process lives, and whether the site can answer."""

from __future__ import annotations

from flask import Blueprint, Response, current_app, jsonify
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from chatsite.database import db
from chatsite.models import Runner, RunnerState
from chatsite.services import runners

bp = Blueprint("health", __name__)


@bp.get("/healthz")
def healthz() -> Response:
    """200 while this process answers."""
    return jsonify(alive=True)


@bp.get("/readyz")
def readyz() -> tuple[Response, int]:
    """200 when a question would be answered now, or else 503 with the reason."""
    reason = _database() or _runner()
    return jsonify(ready=reason is None, reason=reason), 200 if reason is None else 503


def _database() -> str | None:
    try:
        db.session.execute(text("SELECT id FROM generation LIMIT 1"))
    except SQLAlchemyError as error:
        return f"database: {type(error).__name__}"
    return None


def _runner() -> str | None:
    found: Runner | None = runners.current(current_app.config["LEASE_SECONDS"])
    if found is None:
        return "runner: no heartbeat"
    if found.state is RunnerState.READY:
        return None
    return f"model: {found.state.value}" + (f": {found.reason}" if found.reason else "")
