"""Leases of imports: runners claim one, report its progress, and end it (`services.leases`).

Each write names the owner and the attempt, so that a runner whose lease expired changes nothing any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, insert, select, update

from chatsite.database import WriteSession, db, utcnow, write_transaction
from chatsite.errors import ChatsiteError, ImportCrashedError, UploadIncompleteError
from chatsite.models import Import, ImportOutcome, ImportResult, ImportState, UploadChunk
from chatsite.services import leases
from chatsite.services.leases import LeaseLostError
from chatsite.services.transfer import imports, partial_imports

MAX_CRASHES = 3
RUNNING = Import.state == ImportState.RUNNING
LEASED = Import.state.in_([ImportState.UPLOADING, ImportState.RUNNING])
FINISHED_STATES = (ImportState.DONE, ImportState.FAILED, ImportState.CANCELED)


@dataclass(frozen=True)
class ClaimedImport:
    """An import that a runner claimed; the first `processed_records` records of its file are stored or skipped."""

    id: int
    user_id: int
    attempts: int
    lease_owner: str
    name: str
    size_bytes: int
    processed_records: int
    partial_marker: str


@dataclass(frozen=True)
class ImportProgress:
    """Results since the last heartbeat, and how far the file is read.

    `notes` are the columns of one ImportResult each. `read_bytes` counts from the beginning of the file.
    """

    notes: Sequence[dict[str, Any]]
    message_count: int
    read_bytes: int


def has_work(*, may_reap: bool = True) -> bool:
    """Return whether there may be something to do: a queued import, or one whose lease is too long or has expired."""
    condition = (Import.state == ImportState.QUEUED) | _has_overlong_lease()
    if may_reap:
        condition |= _is_abandoned()
    return db.session.scalar(select(Import.id).where(condition).limit(1)) is not None


def claim(lease_owner: str, lease_seconds: float, *, may_reap: bool = True) -> ClaimedImport | None:
    """Claim the import that is queued for longest, for `lease_seconds` seconds; return None if there is none.

    With `may_reap` the imports of dead runners are put back, or ended, first (`reap`).
    """
    with write_transaction() as tx:
        _cut_leases(tx)
        if may_reap:
            reap(tx)
        oldest = select(Import).where(Import.state == ImportState.QUEUED).order_by(Import.id).limit(1)
        row = tx.scalar(leases.lock_rows(oldest))
        if row is None:
            return None
        row.state, row.lease_owner, row.attempts = ImportState.RUNNING, lease_owner, row.attempts + 1
        row.lease_until = leases.lease_end(lease_seconds)
        tx.flush()
        return ClaimedImport(
            id=row.id,
            user_id=row.user_id,
            attempts=row.attempts,
            lease_owner=lease_owner,
            name=row.name,
            size_bytes=row.size_bytes,
            processed_records=count_processed(tx, row.id),
            partial_marker=row.public_id,
        )


def count_processed(tx: WriteSession, import_id: int) -> int:
    """Return how many records of the file of an import are stored or skipped."""
    return tx.scalar(select(func.max(ImportResult.seq)).where(ImportResult.import_id == import_id)) or 0


def renew(tx: WriteSession, claimed: ClaimedImport, lease_seconds: float, **values: Any) -> None:
    """Renew the lease of an import for `lease_seconds` seconds, and set some columns.

    Raises LeaseLostError if the import was canceled or another runner has claimed it.
    """
    held = leases.is_held(Import, RUNNING, claimed.lease_owner, attempt=claimed.attempts)
    mine = update(Import).where(Import.id == claimed.id, held, ~Import.cancel_requested)
    renewed = mine.values(**values, lease_until=leases.lease_end(lease_seconds))
    if not tx.execute(renewed.execution_options(synchronize_session=False)).rowcount:  # type: ignore[attr-defined]
        raise LeaseLostError


def heartbeat(tx: WriteSession, claimed: ClaimedImport, progress: ImportProgress, *, lease_seconds: float) -> None:
    """Store the progress of an import and renew its lease for `lease_seconds` seconds.

    Crashes count anew once a record is stored: whatever caused the last one was not the file. Raises LeaseLostError if
    the import was canceled or another runner has claimed it.
    """
    outcomes = [note["outcome"].value for note in progress.notes]
    counts = {
        f"{name.value}_count": getattr(Import, f"{name.value}_count") + outcomes.count(name.value)
        for name in ImportOutcome
    }
    values = {
        **counts,
        "message_count": Import.message_count + progress.message_count,
        "processed_bytes": min(progress.read_bytes, claimed.size_bytes),
    }
    if progress.notes:
        values["crash_count"] = 0
    renew(tx, claimed, lease_seconds, **values)
    if progress.notes:
        tx.execute(insert(ImportResult), [{"import_id": claimed.id, **note} for note in progress.notes])


def finish(claimed: ClaimedImport, error: ChatsiteError | None = None) -> None:
    """End an import: as done, as canceled, or as failed with `error`. Does nothing if the runner does not hold it.

    A conversation that is stored in part is handed to the cleanup task.
    """
    with write_transaction() as tx:
        row = _lock_held(tx, claimed)
        if row:
            _finish(tx, row, ImportState.FAILED if error else ImportState.DONE, error=error)


def finish_canceled(claimed: ClaimedImport) -> None:
    """End an import that the user canceled. Does nothing if the runner does not hold it, or nobody canceled it."""
    with write_transaction() as tx:
        row = _lock_held(tx, claimed)
        if row and row.cancel_requested:
            _finish(tx, row, ImportState.CANCELED)


def release(lease_owner: str) -> None:
    """Hand back the import of a runner that ends on purpose, so that the attempt does not count."""
    with write_transaction() as tx:
        held_imports = update(Import).where(leases.is_held(Import, RUNNING, lease_owner))
        tx.execute(
            held_imports.values(
                state=ImportState.QUEUED, lease_owner=None, lease_until=None, attempts=Import.attempts - 1
            )
        )


def expire(lease_owner: str) -> None:
    """Let the lease of a process that is known to have crashed expire, so that the next one continues at once."""
    with write_transaction() as tx:
        held_imports = update(Import).where(leases.is_held(Import, RUNNING, lease_owner))
        tx.execute(held_imports.values(lease_until=leases.lease_end(-1)))


def reap(tx: WriteSession) -> None:
    """Queue the imports of dead runners again.

    Ends those that did not arrive, were canceled, or crashed MAX_CRASHES times since a record was stored.
    """
    for row in tx.scalars(leases.lock_rows(select(Import).where(_is_abandoned()))):
        row.crash_count += 1
        if row.cancel_requested:
            _finish(tx, row, ImportState.CANCELED)
        elif row.state is ImportState.UPLOADING:
            _finish(tx, row, ImportState.FAILED, error=UploadIncompleteError())
        elif row.crash_count >= MAX_CRASHES:
            _finish(tx, row, ImportState.FAILED, error=ImportCrashedError())
        else:
            row.state, row.lease_owner, row.lease_until = ImportState.QUEUED, None, None
    tx.flush()


def delete_finished_uploads() -> None:
    """Delete the uploaded files of imports that are over."""
    last_id = 0
    # Jumps from import to import in the index of the chunks; imports without chunks cost nothing.
    next_id = select(func.min(UploadChunk.import_id))
    while (import_id := db.session.scalar(next_id.where(UploadChunk.import_id > last_id))) is not None:
        last_id = import_id
        if db.session.scalar(select(Import.state).where(Import.id == import_id)) in FINISHED_STATES:
            imports.delete_chunks(import_id)


def _is_abandoned() -> ColumnElement[bool]:
    return LEASED & leases.has_expired(Import.lease_until)


def _has_overlong_lease() -> ColumnElement[bool]:
    return LEASED & leases.is_overlong(Import.lease_until, imports.UPLOAD_TIMEOUT_SECONDS)


def _cut_leases(tx: WriteSession) -> None:
    """Let leases that are longer than a lease can be end as the longest that is given now."""
    lease_until = leases.lease_end(imports.UPLOAD_TIMEOUT_SECONDS)
    overlong = update(Import).where(_has_overlong_lease()).values(lease_until=lease_until)
    tx.execute(overlong.execution_options(synchronize_session=False))


def _lock_held(tx: WriteSession, claimed: ClaimedImport) -> Import | None:
    """Return the row of an import and lock it, or None if the runner does not hold it any more."""
    held = leases.is_held(Import, RUNNING, claimed.lease_owner, attempt=claimed.attempts)
    query = select(Import).where(Import.id == claimed.id, held).with_for_update()
    return tx.scalar(query.execution_options(populate_existing=True))


def _finish(tx: WriteSession, row: Import, state: ImportState, *, error: ChatsiteError | None = None) -> None:
    """End an import in a state, or as canceled if the user did that."""
    partial_imports.expire(tx, row.user_id, row.public_id)
    row.state, row.error = (ImportState.CANCELED, None) if row.cancel_requested else (state, error)
    if row.state is ImportState.DONE:
        row.processed_bytes = row.size_bytes
    row.finished_at, row.lease_until = utcnow(), None
