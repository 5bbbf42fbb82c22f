"""Runners as the web sees them: their heartbeats, and the progress of their models."""

from __future__ import annotations

from sqlalchemy import case, delete, select

from chatsite.database import db, write_transaction
from chatsite.errors import ChatsiteError
from chatsite.models import Runner, RunnerState
from chatsite.services import leases

FORGET_RUNNER_SECONDS = 3600.0


def heartbeat(
    runner_id: str,
    model: str,
    state: RunnerState,
    *,
    progress: float | None = None,
    error: ChatsiteError | None = None,
) -> None:
    """Store that a runner is alive, its model and its state; delete runners silent for FORGET_RUNNER_SECONDS.

    `progress` is the downloaded or loaded part, from 0 to 1; `error` is the reason of RunnerState.FAILED.
    """
    with write_transaction() as tx:
        tx.execute(delete(Runner).where(leases.has_expired(Runner.heartbeat_at, FORGET_RUNNER_SECONDS)))
        row = tx.get(Runner, runner_id) or Runner(id=runner_id)
        row.model, row.state, row.progress, row.error = model, state, progress, error
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
    is_recent = Runner.heartbeat_at.between(leases.lease_end(-lease_seconds), leases.lease_end(lease_seconds))
    return db.session.scalar(select(Runner).where(is_recent).order_by(ready_first, Runner.heartbeat_at.desc()).limit(1))
