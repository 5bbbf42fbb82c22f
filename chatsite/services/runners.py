"""Runners as the web sees them: who is there, and how far its model is."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import case, delete, select

from chatsite.database import db, now, write
from chatsite.models import Runner, RunnerState

FORGET_AFTER = timedelta(hours=1)


def beat(owner: str, model: str, state: RunnerState, progress: float | None = None, reason: str | None = None) -> None:
    """Say that the runner `owner` lives and what it is about; runners long silent are forgotten on the way."""
    with write() as session:
        session.execute(delete(Runner).where(Runner.seen_at < now() - FORGET_AFTER))
        session.merge(Runner(owner=owner, model=model, state=state, progress=progress, reason=reason, seen_at=now()))


def farewell(owner: str) -> None:
    """Forget a runner that ends."""
    with write() as session:
        session.execute(delete(Runner).where(Runner.owner == owner))


def current(lease_seconds: float) -> Runner | None:
    """The runner that matters to a visitor: a ready one if there is any, or else the one heard of last.

    None when nobody was heard of within the lease.
    """
    ready_first = case((Runner.state == RunnerState.READY, 0), else_=1)
    alive = select(Runner).where(Runner.seen_at > now() - timedelta(seconds=lease_seconds))
    return db.session.scalar(alive.order_by(ready_first, Runner.seen_at.desc()).limit(1))
