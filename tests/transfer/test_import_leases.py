"""Imports that are restarted, taken over and cut off from the database: nothing of an uploaded file is lost."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from flask import current_app
from sqlalchemy import func, select, update

from chatsite.database import WriteSession, db, write_transaction
from chatsite.errors import DatabaseUnavailableError, NotJsonError
from chatsite.models import Import, ImportState, UploadChunk
from chatsite.runner import database_retries, import_job, import_records, import_worker
from chatsite.services import leases
from chatsite.services.transfer import import_leases, import_store, imports
from tests.conftest import People
from tests.support import other_exports
from tests.support import transfer_fixtures as t


def test_orderly_restarts_and_progress_count_no_crash(people: People) -> None:
    made = imports.upload(people.alice, "f", io.BytesIO(b"[{}]").read, max_bytes=t.MAX_BYTES)
    for number in range(2 * import_leases.MAX_CRASHES):
        claimed = import_leases.claim(f"restarted-{number}", 60)
        assert claimed
        assert claimed.attempts == 1
        import_leases.release(claimed.lease_owner)
    for number in range(2 * import_leases.MAX_CRASHES):
        claimed = import_leases.claim(f"crashed-{number}", 60)
        assert claimed
        note = import_records.outcome_note((number + 1, "x", NotJsonError()), {}, None)
        with write_transaction() as tx:
            import_leases.heartbeat(tx, claimed, import_leases.ImportProgress([note], 0, 1), lease_seconds=60)
        import_leases.expire(claimed.lease_owner)
    last = import_leases.claim("last", 60)
    assert last
    assert last.processed_records == 2 * import_leases.MAX_CRASHES
    assert imports.get(people.alice, made.public_id).crash_count == 1


def test_import_that_another_worker_took_over_keeps_its_file(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first worker stands still between two writes, for longer than its lease, and then wakes."""
    monkeypatch.setattr(import_job, "INITIAL_WEIGHT", 2)
    data = json.dumps([other_exports.make_claude_conversation(n) for n in range(6)])
    public_id = imports.upload(people.alice, "f", io.BytesIO(data.encode()).read, max_bytes=t.MAX_BYTES).public_id

    class TakenOver(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            """Let another worker claim the import during the pause after the first write."""
            if imports.get(people.alice, public_id).lease_owner == "first":
                import_leases.expire("first")
                assert import_leases.claim("second", 60)
            return False

    import_worker.run_imports(current_app.config, TakenOver(), "first")
    row = imports.get(people.alice, public_id)
    assert (row.state, row.lease_owner, row.error) == (ImportState.RUNNING, "second", None)
    assert db.session.scalar(select(func.count(UploadChunk.import_id))) == 1
    import_leases.expire("second")
    import_worker.run_imports(current_app.config, threading.Event(), "third")
    assert imports.get(people.alice, public_id).state is ImportState.DONE
    assert len(t.list_conversations(people.alice)) == 6
    assert db.session.scalar(select(func.count(UploadChunk.import_id))) == 0


@pytest.mark.parametrize("max_weight", [2, 200])
def test_import_waits_for_the_database(people: People, monkeypatch: pytest.MonkeyPatch, max_weight: int) -> None:
    """A write that is stored though the connection broke is not stored twice, in long and short conversations."""
    monkeypatch.setattr(import_job, "INITIAL_WEIGHT", max_weight)
    monkeypatch.setattr(import_store, "BATCH_SIZE", 2)
    monkeypatch.setattr(database_retries, "RETRY_SECONDS", 0.0)
    data = json.dumps([other_exports.make_chatgpt_conversation(n) for n in range(1, 5)])
    public_id = imports.upload(people.alice, "f", io.BytesIO(data.encode()).read, max_bytes=t.MAX_BYTES).public_id
    writes = iter(range(10_000))

    @contextmanager
    def break_sometimes() -> Iterator[WriteSession]:
        number = next(writes)
        if number % 13 == 1:
            raise DatabaseUnavailableError
        with write_transaction() as tx:
            yield tx
        if number % 17 == 3:
            raise DatabaseUnavailableError

    monkeypatch.setattr(import_job, "write_transaction", break_sometimes)
    import_worker.run_imports(current_app.config, threading.Event(), "owner")
    row = imports.get(people.alice, public_id)
    assert (row.state, row.imported_count, row.duplicate_count, row.skipped_count) == (ImportState.DONE, 4, 0, 0)
    assert [len(t.list_messages(talk)) for talk in t.list_conversations(people.alice)] == [3] * 4


def test_part_of_a_file_is_not_taken_for_all_of_it(people: People) -> None:
    data = b"[" + b" " * 2 * imports.CHUNK_BYTES + b"{}]"
    public_id = imports.upload(people.alice, "f", io.BytesIO(data).read, max_bytes=10**8).public_id
    with write_transaction() as tx:
        tx.execute(UploadChunk.__table__.delete().where(UploadChunk.seq > 0))  # type: ignore[attr-defined]
    import_worker.run_imports(current_app.config, threading.Event(), "owner")
    assert imports.get(people.alice, public_id).error is None


def test_overlong_lease_is_cut(people: People) -> None:
    imports.upload(people.alice, "f", io.BytesIO(b"[{}]").read, max_bytes=t.MAX_BYTES)
    assert import_leases.claim("overlong", 3600)
    assert import_leases.has_work()
    assert import_leases.claim("other", 60) is None
    assert not import_leases.has_work()
    seconds_left = db.session.scalar(
        select(func.count(Import.id)).where(leases.is_overlong(Import.lease_until, imports.UPLOAD_TIMEOUT_SECONDS))
    )
    assert seconds_left == 0


def test_canceled_import_ends_at_once(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_job, "INITIAL_WEIGHT", 2)
    data = json.dumps([other_exports.make_claude_conversation(n) for n in range(6)])
    public_id = imports.upload(people.alice, "f", io.BytesIO(data.encode()).read, max_bytes=t.MAX_BYTES).public_id

    class Canceling(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            with write_transaction() as tx:
                tx.execute(update(Import).values(cancel_requested=True))
            return False

    import_worker.run_imports(current_app.config, Canceling(), "owner")
    assert imports.get(people.alice, public_id).state is ImportState.CANCELED
    assert db.session.scalar(select(func.count(UploadChunk.import_id))) == 0
