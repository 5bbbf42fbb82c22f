"""Runners as the web sees them: their heartbeats, and the progress of their models."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import ColumnElement, case, delete, select

from chatsite.database import db, write_transaction
from chatsite.errors import ChatsiteError
from chatsite.models import Runner, RunnerState
from chatsite.services import leases

FORGET_RUNNER_SECONDS = 3600.0


def heartbeat(  # noqa: PLR0913 Each is a column.
    runner_id: str,
    model: str,
    state: RunnerState,
    *,
    progress: float | None = None,
    error: ChatsiteError | None = None,
    local_models: Collection[str] | None = None,
    reached_endpoints: Collection[str] | None = None,
) -> None:
    """Store that a runner is alive, its model and its state; delete runners silent for FORGET_RUNNER_SECONDS.

    `progress` is the downloaded or loaded part, from 0 to 1; `error` is the reason of RunnerState.FAILED. Other runners
    leave the models that only this one has to it: `local_models`, and those of `reached_endpoints`.
    """
    with write_transaction() as tx:
        tx.execute(delete(Runner).where(leases.has_expired(Runner.heartbeat_at, FORGET_RUNNER_SECONDS)))
        row = tx.get(Runner, runner_id) or Runner(id=runner_id)
        row.model, row.state, row.progress, row.error = model, state, progress, error
        row.models = None if local_models is None else sorted(local_models)
        row.endpoints = None if reached_endpoints is None else sorted(reached_endpoints)
        row.heartbeat_at = leases.current_time()
        tx.add(row)


def deregister(runner_id: str) -> None:
    """Delete the heartbeat of a runner that ends."""
    with write_transaction() as tx:
        tx.execute(delete(Runner).where(Runner.id == runner_id))


def find_current(lease_seconds: float) -> Runner | None:
    """Return the runner that matters to a visitor: a ready one, or else the one with the latest heartbeat.

    Returns None if there was no heartbeat within `lease_seconds` seconds. One that lies in the future says nothing: the
    clock was set back since.
    """
    ready_first = case((Runner.state == RunnerState.READY, 0), else_=1)
    query = select(Runner).where(is_alive(lease_seconds)).order_by(ready_first, Runner.heartbeat_at.desc())
    return db.session.scalar(query.limit(1))


def is_alive(lease_seconds: float) -> ColumnElement[bool]:
    """Return the SQL condition that a runner had a heartbeat within `lease_seconds` seconds."""
    return Runner.heartbeat_at.between(leases.lease_end(-lease_seconds), leases.lease_end(lease_seconds))


def is_reached_elsewhere(endpoint: str, runner_id: str, lease_seconds: float) -> bool:
    """Return whether an endpoint answers another living runner than `runner_id`."""
    others = select(Runner.endpoints).where(is_alive(lease_seconds), Runner.id != runner_id)
    return any(endpoint in (names or ()) for names in db.session.scalars(others))
