"""State of models as runners report it: downloads, weights on disk, models in memory. Only runners call this.

A requested action is the work to claim (`services.leases`). A download has a lease as long as its runner reports
progress.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import select, update

from chatsite.database import db, write_transaction
from chatsite.engine.types import ModelStatus
from chatsite.errors import ChatsiteError
from chatsite.models import LocalModel, ModelState, RequestedAction
from chatsite.services import leases

# The last report of a released download is dated back by this, so that `reap` returns it at once.
HANDED_BACK_SECONDS = 86_400.0
RUNNING_STATES = (ModelState.FETCHING, ModelState.CONVERTING)
RUNNING = LocalModel.download_state.in_(RUNNING_STATES)


@dataclass(frozen=True)
class WeightsStatus:
    """State of the weights of a model, and the progress of its download."""

    download_state: ModelState
    bytes_done: int | None = None
    bytes_total: int | None = None
    bytes_per_second: float | None = None
    error: ChatsiteError | None = None
    revision: str | None = None


def all_download_states() -> dict[str, ModelState]:
    """Return the last reported download states by model name."""
    return {
        row.name: row.download_state for row in db.session.execute(select(LocalModel.name, LocalModel.download_state))
    }


def has_work() -> bool:
    """Return whether an action is requested for any model."""
    return (
        db.session.scalar(select(LocalModel.name).where(LocalModel.requested_action.is_not(None)).limit(1)) is not None
    )


def requested_actions() -> dict[str, RequestedAction]:
    """Return the actions that the site's owner requested, by model name."""
    rows = db.session.execute(
        select(LocalModel.name, LocalModel.requested_action).where(LocalModel.requested_action.is_not(None))
    )
    return {name: action for name, action in rows if action}


def claim(name: str, action: RequestedAction) -> bool:
    """Clear a requested action in order to execute it; a model to be downloaded counts as being downloaded from now on.

    Otherwise it would be neither requested nor on its way until its process has started, and lost if that never did.
    Returns False if another runner was first, or if the owner requested something else meanwhile.
    """
    values: dict[str, object] = {"requested_action": None}
    if action is RequestedAction.PULL:
        values |= {"download_state": ModelState.FETCHING, "reported_at": leases.current_time()}
    with write_transaction() as tx:
        mine = update(LocalModel).where(LocalModel.name == name, LocalModel.requested_action == action).values(values)
        return bool(tx.execute(mine).rowcount)  # type: ignore[attr-defined]


def heartbeat(name: str, status: WeightsStatus) -> None:
    """Store the progress of a download."""
    _save_weights_status(name, status)


def release(name: str) -> None:
    """Hand back an unfinished download, so that the next runner continues it at once."""
    with write_transaction() as tx:
        mine = update(LocalModel).where(LocalModel.name == name, RUNNING)
        tx.execute(mine.values(reported_at=leases.lease_end(-HANDED_BACK_SECONDS)))


def finish(name: str, status: WeightsStatus) -> None:
    """Store the final state of the weights of a model, with the error if they could not be downloaded."""
    _save_weights_status(name, status)


def reap(seconds: float) -> list[str]:
    """Return the names of the models whose download was not reported for `seconds` seconds: their runner is dead.

    A report that lies in the future says nothing: the clock was set back since.
    """
    reported_at = LocalModel.reported_at
    is_stalled = leases.has_expired(reported_at, seconds) | leases.is_overlong(reported_at, seconds)
    return list(db.session.scalars(select(LocalModel.name).where(RUNNING, is_stalled)))


def save_memory_status(memory_statuses: Collection[ModelStatus]) -> None:
    """Store which models are in memory or being loaded; all others are not."""
    by_model = {status.model: status for status in memory_statuses}
    with write_transaction() as tx:
        rows = {row.name: row for row in tx.scalars(select(LocalModel))}
        for name in by_model.keys() - rows.keys():
            rows[name] = LocalModel(name=name)
            tx.add(rows[name])
        for name, row in rows.items():
            _apply_memory_status(row, by_model.get(name))


def _save_weights_status(name: str, status: WeightsStatus) -> None:
    with write_transaction() as tx:
        row = tx.get(LocalModel, name) or LocalModel(name=name)
        for field, value in vars(status).items():
            setattr(row, field, value)
        row.reported_at = leases.current_time()
        tx.add(row)


def _apply_memory_status(row: LocalModel, status: ModelStatus | None) -> None:
    row.is_loaded = status is not None and status.is_loaded
    row.is_loading = status is not None and not status.is_loaded and status.failure_reason is None
    if status and status.is_loaded:
        row.memory_bytes = status.memory_bytes or None
        row.tokens_per_second = status.tokens_per_second or None
        row.precision = status.precision or None
        row.is_batched = status.is_batched
    if status and status.failure_reason:
        row.download_state, row.error = ModelState.FAILED, status.failure_reason
    row.reported_at = leases.current_time()
