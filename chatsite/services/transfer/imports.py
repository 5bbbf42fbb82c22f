"""Imports: an uploaded file is stored in chunks, waits for a runner, and leaves a result for each conversation."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update

from chatsite.database import WriteSession, db, utcnow, write_transaction
from chatsite.errors import ImportQuotaExceededError, NetworkImportQuotaExceededError, NotFoundError
from chatsite.models import (
    UNFINISHED_STATES,
    AnonymousUser,
    Conversation,
    Import,
    ImportOutcome,
    ImportResult,
    ImportState,
    UploadChunk,
    User,
    Visitor,
)
from chatsite.services import leases, networks
from chatsite.services.chat import conversations
from chatsite.services.networks import Network
from chatsite.services.ownership import get_owned
from chatsite.services.pagination import Page
from chatsite.services.transfer.coercion import single_line

ReadBytes = Callable[[int], bytes]
CHUNK_BYTES = 1024 * 1024
# Bounds the length of one write transaction: a large file takes several.
CHUNKS_PER_DELETE = 8
MAX_FILE_NAME_CHARS = 200
PAGE_SIZE = 50
MAX_LISTED_IMPORTS = 50
# After so long without a byte the browser is considered disconnected.
UPLOAD_TIMEOUT_SECONDS = 120.0


def check_quota(user: User, size_bytes: int, *, max_bytes: int, network: Network | None) -> None:
    """Check whether a file of `size_bytes` bytes may be uploaded, as far as that can be known before.

    Raises ImportQuotaExceededError or NetworkImportQuotaExceededError.
    """
    _require_room(user.id, network.key if network else None, size_bytes, max_bytes=max_bytes, network=network)


def upload(user: User, name: str, read_bytes: ReadBytes, *, max_bytes: int, network: Network | None = None) -> Import:
    """Store a file, whose next bytes `read_bytes` returns, and queue its import.

    Raises ImportQuotaExceededError if more than `max_bytes` bytes of this user would be waiting, or
    NetworkImportQuotaExceededError if too many of the network would; nothing is stored then.
    """
    user_id = user.id
    with write_transaction() as tx:
        network_key = networks.assign(tx, user_id, network) if network else None
        row = Import(
            user_id=user_id, name=single_line(name, MAX_FILE_NAME_CHARS) or "import", lease_until=_upload_deadline()
        )
        tx.add(row)
        tx.flush()
        import_id = row.id
    try:
        size_bytes = 0
        for seq, data in enumerate(iter(lambda: read_bytes(CHUNK_BYTES), b"")):
            size_bytes += len(data)
            # Level 1 shrinks JSON to a fifth; on a zip archive the attempt costs little.
            compressed = zlib.compress(data, 1)
            with write_transaction() as tx:
                # In the write that stores the bytes, or files side by side would pass the limit together.
                _lock_user(tx, user_id)
                _require_room(user_id, network_key, len(data), max_bytes=max_bytes, network=network)
                _store_chunk(tx, import_id, seq, data=compressed, size_bytes=size_bytes)
    except BaseException:
        with contextlib.suppress(Exception):
            _discard_upload(import_id)
        raise
    with write_transaction() as tx:
        uploaded = _update_in_state(
            tx, import_id, ImportState.UPLOADING, state=ImportState.QUEUED, size_bytes=size_bytes, lease_until=None
        )
    if uploaded.state is not ImportState.QUEUED:
        delete_chunks(import_id)
    return uploaded


def get(user: Visitor, public_id: str) -> Import:
    """Return the user's import with this public id as it is now. Raises NotFoundError."""
    return get_owned(Import, user, public_id, refresh=True)


def list_recent(user: Visitor) -> list[Import]:
    """Return the user's last MAX_LISTED_IMPORTS imports, the newest first."""
    if isinstance(user, AnonymousUser):
        return []
    query = select(Import).where(Import.user_id == user.id).order_by(Import.id.desc()).limit(MAX_LISTED_IMPORTS)
    return list(db.session.scalars(query))


def list_results(
    import_: Import, after: str | None = None, outcome: str | None = None, *, size: int = PAGE_SIZE
) -> Page[Row[ImportResult, str | None]]:
    """Return a page of the results of an import, in the order of the file, each with its conversation's public id.

    `after` is the `next` of the page before, and `outcome` a value of ImportOutcome to filter by. Raises NotFoundError
    if `after` is not a cursor or `outcome` is not such a value.
    """
    if after and not (after.isascii() and after.isdecimal() and len(after) < 10):
        raise NotFoundError
    if outcome and outcome not in list(ImportOutcome):
        raise NotFoundError
    visible_conversation = (Conversation.id == ImportResult.conversation_id) & conversations.visible_clause()
    query = select(ImportResult, Conversation.public_id).join(Conversation, visible_conversation, isouter=True)
    query = query.where(ImportResult.import_id == import_.id, ImportResult.seq > int(after or 0))
    if outcome:
        query = query.where(ImportResult.outcome == ImportOutcome(outcome))
    rows = db.session.execute(query.order_by(ImportResult.seq).limit(size + 1)).all()
    return Page(rows[:size], str(rows[size - 1][0].seq) if len(rows) > size else None)


def cancel(import_: Import) -> Import:
    """Cancel an import, and return it; conversations that are stored stay. An import that is over keeps its state.

    Raises NotFoundError if the import was deleted.
    """
    import_id, user_id = import_.id, import_.user_id
    with write_transaction() as tx:
        query = select(Import).where(Import.id == import_id, Import.user_id == user_id)
        row = tx.scalar(query.with_for_update().execution_options(populate_existing=True))
        if row is None:
            raise NotFoundError
        row.cancel_requested = True
        if row.state in (ImportState.UPLOADING, ImportState.QUEUED):
            row.state, row.finished_at = ImportState.CANCELED, utcnow()
    if row.state is ImportState.CANCELED:
        delete_chunks(import_id)
    return row


def delete_import(import_: Import) -> None:
    """Delete an import that is over, with its results; imported conversations stay.

    Raises NotFoundError while the import is unfinished.
    """
    if import_.state in UNFINISHED_STATES:
        raise NotFoundError
    import_id, user_id = import_.id, import_.user_id
    delete_chunks(import_id)
    with write_transaction() as tx:
        tx.execute(delete(Import).where(Import.id == import_id, Import.user_id == user_id))


def delete_chunks(import_id: int) -> None:
    """Delete the file of an import that is over, in small transactions."""
    last_seq = select(func.max(UploadChunk.seq)).where(UploadChunk.import_id == import_id)
    while (seq := db.session.scalar(last_seq)) is not None:
        with write_transaction() as tx:
            last_chunks = UploadChunk.import_id == import_id, UploadChunk.seq > seq - CHUNKS_PER_DELETE
            tx.execute(delete(UploadChunk).where(*last_chunks).execution_options(synchronize_session=False))


def iter_chunks(import_id: int) -> Iterator[bytes]:
    """Yield the bytes of the file of an import, in pieces of up to CHUNK_BYTES."""
    seq = 0
    while True:
        data = db.session.scalar(
            select(UploadChunk.data).where(UploadChunk.import_id == import_id, UploadChunk.seq == seq)
        )
        db.session.rollback()
        if data is None:
            return
        yield zlib.decompress(data)
        seq += 1


def _require_room(
    user_id: int, network_key: str | None, more_bytes: int, *, max_bytes: int, network: Network | None
) -> None:
    """Check that so many more bytes of a user and of a network may wait.

    Raises ImportQuotaExceededError or NetworkImportQuotaExceededError.
    """
    if _queued_bytes(user_id) + more_bytes > max_bytes:
        raise ImportQuotaExceededError
    if network and network_key and networks.count_import_bytes(network_key) + more_bytes > network.max_import_bytes:
        raise NetworkImportQuotaExceededError


def _lock_user(tx: WriteSession, user_id: int) -> None:
    """Let no other upload of the user be counted meanwhile. SQLite's write transactions are alone anyway."""
    tx.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))


def _queued_bytes(user_id: int) -> int:
    """Return the number of bytes in the user's unfinished imports."""
    total_size = select(func.coalesce(func.sum(Import.size_bytes), 0))
    queued_bytes: int = db.session.scalars(
        total_size.where(Import.user_id == user_id, Import.state.in_(UNFINISHED_STATES))
    ).one()
    return int(queued_bytes)


def _upload_deadline() -> Any:
    return leases.lease_end(UPLOAD_TIMEOUT_SECONDS)


def _store_chunk(tx: WriteSession, import_id: int, seq: int, *, data: bytes, size_bytes: int) -> None:
    """Store the next, compressed bytes of an import, of whose file `size_bytes` bytes have arrived."""
    tx.execute(insert(UploadChunk), [{"import_id": import_id, "seq": seq, "data": data}])
    _update_in_state(tx, import_id, ImportState.UPLOADING, size_bytes=size_bytes, lease_until=_upload_deadline())


def _update_in_state(tx: WriteSession, import_id: int, expected: ImportState, **values: Any) -> Import:
    """Change an import if it is in the state `expected`, and return its present row."""
    tx.execute(update(Import).where(Import.id == import_id, Import.state == expected).values(values))
    return tx.get_one(Import, import_id, populate_existing=True)


def _discard_upload(import_id: int) -> None:
    """Delete an import whose file did not arrive."""
    delete_chunks(import_id)
    with write_transaction() as tx:
        tx.execute(delete(Import).where(Import.id == import_id))
