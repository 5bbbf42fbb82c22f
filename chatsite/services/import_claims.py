"""What runners do with imports: claim one with a lease, tell how far it is, end it.

Every write names the owner and the attempt, so that a runner that was taken for dead changes nothing any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import func, insert, select, update

from chatsite.database import db, now, write
from chatsite.errors import sentence
from chatsite.models import Import, ImportNote, ImportPart, ImportState
from chatsite.services import imports
from chatsite.services.transfer import storing

ATTEMPTS = 3
BROKE_OFF = sentence("The file did not arrive whole. Send it again.")
GIVEN_UP = sentence("Reading this file ended in a crash several times, so it was given up.")
OVER = (ImportState.DONE, ImportState.FAILED, ImportState.CANCELLED)


class LostError(Exception):
    """The import is not this owner's any more, or it was cancelled."""


@dataclass(frozen=True)
class Claimed:
    """An import that a runner took up; the first `done` records of its file are dealt with."""

    id: int
    user_id: int
    attempt: int
    owner: str
    size: int
    done: int
    mark: str


def waiting() -> bool:
    """Whether there may be something to do: a file that waits, or one of whom nobody takes care any more."""
    silent = Import.state.in_([ImportState.UPLOADING, ImportState.RUNNING]) & (Import.lease_until < now())
    query = select(Import.id).where((Import.state == ImportState.QUEUED) | silent)
    return db.session.scalar(query.limit(1)) is not None


def claim(owner: str, lease_seconds: float) -> Claimed | None:
    """Take up the file that waits for longest; those that nobody can finish are ended first."""
    with write() as session:
        _end_hopeless()
        silent = (Import.state == ImportState.RUNNING) & (Import.lease_until < now())
        first = select(Import).where((Import.state == ImportState.QUEUED) | silent).order_by(Import.id).limit(1)
        row = session.scalar(first.with_for_update(skip_locked=True).execution_options(populate_existing=True))
        if row is None:
            return None
        row.state, row.owner, row.attempt = ImportState.RUNNING, owner, row.attempt + 1
        row.lease_until = now() + timedelta(seconds=lease_seconds)
        done = session.scalar(select(func.max(ImportNote.seq)).where(ImportNote.import_id == row.id)) or 0
        return Claimed(row.id, row.user_id, row.attempt, owner, row.size, done, row.public_id)


def advance(claimed: Claimed, lease_seconds: float, notes: Sequence[dict[str, Any]], messages: int, read: int) -> None:
    """Write down, in the write under way, what became of some records, and that `read` bytes are read.

    Raises LostError when it was cancelled or somebody else has it.
    """
    outcomes = [note["outcome"].value for note in notes]
    counts = {name: getattr(Import, name) + outcomes.count(name) for name in ("imported", "present", "skipped")}
    values = {**counts, "messages": Import.messages + messages, "bytes_done": min(read, claimed.size)}
    lease = now() + timedelta(seconds=lease_seconds)
    mine = _mine(claimed).where(~Import.cancel_requested)
    if not db.session.execute(mine.values(**values, lease_until=lease)).rowcount:  # type: ignore[attr-defined]
        raise LostError
    if notes:
        db.session.execute(insert(ImportNote), [{"import_id": claimed.id, **note} for note in notes])


def finish(claimed: Claimed, error: str | None = None) -> None:
    """The import is over: done, cancelled, or failed with an error. What it read goes."""
    with write() as session:
        row = session.get(Import, claimed.id, populate_existing=True)
        if row is None or row.owner != claimed.owner or row.attempt != claimed.attempt or row.state in OVER:
            return
        storing.abandon_partial(row.user_id, row.public_id)
        row.state = ImportState.FAILED if error else ImportState.DONE
        if row.cancel_requested:
            row.state = ImportState.CANCELLED
        elif not error:
            row.bytes_done = row.size
        row.error, row.finished_at, row.lease_until = error, now(), None


def release(owner: str) -> None:
    """Hand back what an owner holds, who is gone: the next one goes on at once."""
    with write() as session:
        mine = update(Import).where(Import.state == ImportState.RUNNING, Import.owner == owner)
        session.execute(mine.values(lease_until=now() - timedelta(seconds=1)))


def tidy() -> None:
    """Delete the files of imports that are over."""
    last = 0
    # From import to import: those that hold no parts cost nothing.
    following = select(func.min(ImportPart.import_id))
    while (found := db.session.scalar(following.where(ImportPart.import_id > last))) is not None:
        last = found
        if db.session.scalar(select(Import.state).where(Import.id == found)) in OVER:
            imports.forget_parts(found)


def _end_hopeless() -> None:
    """End, in the write under way, what did not arrive, what was cancelled, and what killed several runners."""
    silent = select(Import).where(
        Import.state.in_([ImportState.UPLOADING, ImportState.RUNNING]), Import.lease_until < now()
    )
    for row in db.session.scalars(silent.with_for_update(skip_locked=True).execution_options(populate_existing=True)):
        if row.cancel_requested:
            row.state, row.finished_at = ImportState.CANCELLED, now()
        elif row.state is ImportState.UPLOADING:
            row.state, row.error, row.finished_at = ImportState.FAILED, BROKE_OFF, now()
        elif row.attempt >= ATTEMPTS:
            row.state, row.error, row.finished_at = ImportState.FAILED, GIVEN_UP, now()
            storing.abandon_partial(row.user_id, row.public_id)
    db.session.flush()


def _mine(claimed: Claimed) -> Any:
    return (
        update(Import)
        .where(
            Import.id == claimed.id,
            Import.owner == claimed.owner,
            Import.attempt == claimed.attempt,
            Import.state == ImportState.RUNNING,
        )
        .execution_options(synchronize_session=False)
    )
