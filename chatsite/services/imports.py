"""Imports: a file comes in parts, waits for a runner, and leaves a report of what became of each conversation in it."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update

from chatsite.database import db, now, write
from chatsite.errors import ImportsWaitingError, NotFoundError
from chatsite.models import Conversation, Import, ImportNote, ImportPart, ImportState, Outcome, User
from chatsite.services import conversations
from chatsite.services.paging import Page
from chatsite.services.transfer.values import line

Read = Callable[[int], bytes]
PART = 1024 * 1024
# Deleting is quick, but not of a gigabyte at once.
PARTS_A_WRITE = 8
NAME_CHARS = 200
PAGE_SIZE = 50
MOST_IMPORTS = 50
# A browser that sends nothing for so long is gone.
UPLOAD_SECONDS = 120.0
UNFINISHED = (ImportState.UPLOADING, ImportState.QUEUED, ImportState.RUNNING)


def receive(user: User, name: str, read: Read, most: int) -> Import:
    """Take in a file, of which `read` gives the next bytes, and have it imported.

    Raises ImportsWaitingError when more than `most` bytes of this user are waiting then; nothing of it stays.
    """
    room = most - _waiting_bytes(user)
    with write() as session:
        made = Import(user_id=user.id, name=line(name, NAME_CHARS) or "import", lease_until=_uploading())
        session.add(made)
        session.flush()
        import_id = made.id
    try:
        size = 0
        for seq, data in enumerate(iter(lambda: read(PART), b"")):
            size += len(data)
            if size > room:
                raise ImportsWaitingError
            _keep_part(import_id, seq, data, size)
    except BaseException:
        with contextlib.suppress(Exception):
            _discard(import_id)
        raise
    with write():
        arrived = _set(import_id, ImportState.UPLOADING, state=ImportState.QUEUED, size=size, lease_until=None)
    if arrived.state is not ImportState.QUEUED:
        forget_parts(import_id)
    return arrived


def find(user: User | None, public_id: str) -> Import:
    """The user's import of that name. Raises NotFoundError."""
    mine = select(Import).where(Import.public_id == public_id, Import.user_id == (user.id if user else 0))
    found = db.session.scalar(mine.execution_options(populate_existing=True))
    if found is None:
        raise NotFoundError
    return found


def newest(user: User) -> list[Import]:
    """The user's last imports, the newest first."""
    query = select(Import).where(Import.user_id == user.id).order_by(Import.id.desc()).limit(MOST_IMPORTS)
    return list(db.session.scalars(query))


def notes(
    found: Import, after: str | None = None, outcome: str | None = None, size: int = PAGE_SIZE
) -> Page[Row[ImportNote, str | None]]:
    """What became of the conversations of a file, in the order of the file: each with its conversation's name.

    `after` is the `next` of the page before, `outcome` asks for one kind only. Raises NotFoundError for others.
    """
    if after and not (after.isascii() and after.isdecimal() and len(after) < 10):
        raise NotFoundError
    if outcome and outcome not in list(Outcome):
        raise NotFoundError
    there = (Conversation.id == ImportNote.conversation_id) & conversations.alive()
    query = select(ImportNote, Conversation.public_id).join(Conversation, there, isouter=True)
    query = query.where(ImportNote.import_id == found.id, ImportNote.seq > int(after or 0))
    if outcome:
        query = query.where(ImportNote.outcome == Outcome(outcome))
    rows = db.session.execute(query.order_by(ImportNote.seq).limit(size + 1)).all()
    return Page(rows[:size], str(rows[size - 1][0].seq) if len(rows) > size else None)


def cancel(found: Import) -> Import:
    """Have nothing more imported; what came in stays. One that is over stays as it is. Raises NotFoundError."""
    import_id, user_id = found.id, found.user_id
    with write() as session:
        this = select(Import).where(Import.id == import_id, Import.user_id == user_id)
        row = session.scalar(this.with_for_update().execution_options(populate_existing=True))
        if row is None:
            raise NotFoundError
        row.cancel_requested = True
        if row.state in (ImportState.UPLOADING, ImportState.QUEUED):
            row.state, row.finished_at = ImportState.CANCELLED, now()
    if row.state is ImportState.CANCELLED:
        forget_parts(import_id)
    return row


def destroy(found: Import) -> None:
    """Take an import that is over off the list, with its report; what was imported stays. Raises NotFoundError."""
    if found.state in UNFINISHED:
        raise NotFoundError
    import_id, user_id = found.id, found.user_id
    forget_parts(import_id)
    with write() as session:
        session.execute(delete(Import).where(Import.id == import_id, Import.user_id == user_id))


def forget_parts(import_id: int) -> None:
    """Delete the file of an import that is over, a little at a time."""
    last = select(func.max(ImportPart.seq)).where(ImportPart.import_id == import_id)
    while (seq := db.session.scalar(last)) is not None:
        with write() as session:
            tail = ImportPart.import_id == import_id, ImportPart.seq > seq - PARTS_A_WRITE
            session.execute(delete(ImportPart).where(*tail).execution_options(synchronize_session=False))


def parts(import_id: int) -> Iterator[bytes]:
    """The bytes of the file of an import, in pieces."""
    seq = 0
    while True:
        data = db.session.scalar(
            select(ImportPart.data).where(ImportPart.import_id == import_id, ImportPart.seq == seq)
        )
        db.session.rollback()
        if data is None:
            return
        yield zlib.decompress(data)
        seq += 1


def _waiting_bytes(user: User) -> int:
    waiting = select(func.coalesce(func.sum(Import.size), 0))
    found: int = db.session.scalars(waiting.where(Import.user_id == user.id, Import.state.in_(UNFINISHED))).one()
    return found


def _uploading() -> Any:
    return now() + timedelta(seconds=UPLOAD_SECONDS)


def _keep_part(import_id: int, seq: int, data: bytes, size: int) -> None:
    # JSON shrinks to a fifth, and what is a zip archive already costs nothing to try.
    packed = zlib.compress(data, 1)
    with write() as session:
        session.execute(insert(ImportPart), [{"import_id": import_id, "seq": seq, "data": packed}])
        _set(import_id, ImportState.UPLOADING, size=size, lease_until=_uploading())


def _set(import_id: int, expected: ImportState, **values: Any) -> Import:
    """Change an import that is in a state, in the write under way; gives it back as it is then."""
    db.session.execute(update(Import).where(Import.id == import_id, Import.state == expected).values(values))
    return db.session.get_one(Import, import_id, populate_existing=True)


def _discard(import_id: int) -> None:
    """Nothing stays of a file that did not arrive."""
    forget_parts(import_id)
    with write() as session:
        session.execute(delete(Import).where(Import.id == import_id))
