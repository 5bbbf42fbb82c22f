"""The import of one file: its records are collected until they make a write of reasonable size.

Each write says how far the file is read and renews the lease, in one transaction with what it stores.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from sqlalchemy.exc import IntegrityError

from chatsite.database import WriteSession, write_transaction
from chatsite.errors import ImportCollidedError
from chatsite.runner.clock_watch import ClockWatch
from chatsite.runner.database_retries import retry_storage_errors
from chatsite.runner.import_records import (
    RECORD_HANDLERS,
    LeftOut,
    PendingRecord,
    left_out_records,
    outcome_note,
    parse_record,
)
from chatsite.services.leases import LeaseLostError
from chatsite.services.transfer import import_leases, import_merge, import_store, partial_imports
from chatsite.services.transfer.files import file_records
from chatsite.services.transfer.files.archives import Upload
from chatsite.services.transfer.import_leases import ClaimedImport, ImportProgress
from chatsite.services.transfer.import_merge import ExistingConversation, MergeResult
from chatsite.services.transfer.import_store import ConversationImporter
from chatsite.services.transfer.message_ordering import ImportedConversation
from chatsite.services.transfer.records import Record

T = TypeVar("T")

LEASE_SECONDS = 20.0
# The intended duration of a write, and the share of it by which other writers come first afterwards.
TARGET_WRITE_SECONDS = 0.06
PAUSE_RATIO = 0.25
INITIAL_WEIGHT, MIN_WEIGHT, MAX_WEIGHT = 200, 100, 4000
PROGRESS_SECONDS = 0.5


class ImportJob:
    """The import of one file, in the name of `claim`. It ends early when `stop` is set."""

    def __init__(self, claim: ClaimedImport, stop: threading.Event, clock_watch: ClockWatch) -> None:
        self._claim = claim
        self._stop = stop
        self._clock_watch = clock_watch
        self._record_number = 0
        self._bytes_read = 0
        self._left_out = {array_name: LeftOut() for array_name in RECORD_HANDLERS}
        self._pending: list[PendingRecord] = []
        self._pending_weight = 0
        self._max_weight: float = INITIAL_WEIGHT
        self._last_flush = time.monotonic()

    def import_records(self, upload: Upload) -> None:
        """Import an uploaded file.

        Raises UnreadableError for a file without known records, LeaseLostError if it is not this job's any more or
        `stop` is set, and StorageError if the database cannot be used when `stop` is set.
        """
        self._delete_partial()
        for record in file_records.iter_records(replace(upload, on_read=self._renew_while_reading)):
            self._bytes_read = record.end_offset
            self._add_record(record)
        for record in left_out_records(self._left_out, upload.size_bytes):
            self._add_record(record)
        self._flush_pending()

    def _renew_while_reading(self) -> None:
        """Renew the lease now and then while a file is read that gives no record for long."""
        self._clock_watch.beat()
        if self._stop.is_set():
            raise LeaseLostError
        if time.monotonic() > self._last_flush + LEASE_SECONDS / 4:
            self._flush_pending()

    def _add_record(self, record: Record) -> None:
        self._clock_watch.beat()
        if self._stop.is_set():
            raise LeaseLostError
        if record.array_name in RECORD_HANDLERS and not record.error:
            store_record = RECORD_HANDLERS[record.array_name]
            left_out = self._in_transaction(lambda tx: store_record(tx, self._claim.user_id, record))
            self._left_out[record.array_name].update(left_out)
            return
        self._record_number += 1
        if self._record_number <= self._claim.processed_records:
            return
        parsed, title = parse_record(record)
        if isinstance(parsed, ImportedConversation) and len(parsed.messages) > self._max_weight:
            self._flush_pending()
            self._import_long(parsed, title)
            return
        self._pending.append((self._record_number, title, parsed))
        self._pending_weight += 1 + (len(parsed.messages) if isinstance(parsed, ImportedConversation) else 0)
        if self._pending_weight >= self._max_weight or time.monotonic() > self._last_flush + PROGRESS_SECONDS:
            self._flush_pending()

    def _flush_pending(self) -> None:
        """Store the collected records in one write; if a constraint fails, store them one by one."""
        pending, self._pending, self._pending_weight = self._pending, [], 0
        self._last_flush = time.monotonic()
        try:
            self._at_fixed_pace(lambda tx: self._store_batch(tx, pending))
        except IntegrityError:
            for item in pending:
                self._store_one(item)

    def _store_one(self, item: PendingRecord) -> None:
        try:
            self._at_fixed_pace(lambda tx: self._store_batch(tx, [item]))
        except IntegrityError:
            collided: PendingRecord = (item[0], item[1], ImportCollidedError())
            self._at_fixed_pace(lambda tx: self._store_batch(tx, [collided]))

    def _store_batch(self, tx: WriteSession, pending: Sequence[PendingRecord]) -> int:
        user_id = self._claim.user_id
        # A write may have been stored though the connection broke before this job learned of it.
        stored_records = import_leases.count_processed(tx, self._claim.id)
        pending = [record for record in pending if record[0] > stored_records]
        imported = [conversation for *_, conversation in pending if isinstance(conversation, ImportedConversation)]
        existing = import_merge.find_already_imported(user_id, imported)
        # A file may contain a conversation twice; the first one is imported, and the second one merged into it.
        new: dict[str, ImportedConversation] = {}
        for conversation in imported:
            if conversation.import_source_id not in existing:
                new.setdefault(conversation.import_source_id, conversation)
        ids = import_store.insert_conversations(tx, user_id, list(new.values()))
        existing |= {name: ExistingConversation(id_, is_deleted=False) for name, id_ in zip(new, ids, strict=True)}
        new_objects = {id(conversation) for conversation in new.values()}
        merges = [conversation for conversation in imported if id(conversation) not in new_objects]
        # In the order of the rows, so that two transactions that lock several of them cannot deadlock.
        merges.sort(key=lambda conversation: existing[conversation.import_source_id].id)
        merged = {id(each): import_merge.add_new_messages(tx, existing[each.import_source_id], each) for each in merges}
        notes = [outcome_note(each, existing, merged.get(id(each[2]))) for each in pending]
        self._save_progress(tx, notes, sum(note["message_count"] for note in notes))
        return sum(len(conversation.messages) for conversation in imported) + len(notes)

    def _import_long(self, conversation: ImportedConversation, title: str) -> None:
        """Store a long conversation in several writes; it becomes visible with the last one.

        When one of them fails it is begun anew, because nobody knows then how much of it is stored.
        """
        try:
            retry_storage_errors(lambda: self._store_long(conversation, title), self._stop)
        except IntegrityError:
            self._delete_partial()
            collided: PendingRecord = (self._record_number, title, ImportCollidedError())
            self._at_fixed_pace(lambda tx: self._store_batch(tx, [collided]))

    def _store_long(self, conversation: ImportedConversation, title: str) -> None:
        user_id = self._claim.user_id
        self._delete_partial()

        item: PendingRecord = (self._record_number, title, conversation)

        def begin_conversation(tx: WriteSession) -> ConversationImporter | ExistingConversation | None:
            if import_leases.count_processed(tx, self._claim.id) >= self._record_number:
                return None
            existing = import_merge.find_already_imported(user_id, [conversation])
            self._save_progress(tx, [])
            return existing.get(conversation.import_source_id) or import_store.start_long_import(
                tx, user_id, conversation, partial_marker=self._claim.partial_marker
            )

        def store_next_part(tx: WriteSession, importer: ConversationImporter) -> bool:
            self._save_progress(tx, [])
            return importer.insert_batch(tx)

        def finish_conversation(tx: WriteSession, importer: ConversationImporter) -> None:
            importer.finish(tx)
            stored = {conversation.import_source_id: ExistingConversation(importer.id, is_deleted=False)}
            self._save_progress(tx, [outcome_note(item, stored, None)], len(conversation.messages))

        with write_transaction() as tx:
            importer = begin_conversation(tx)
        if importer is None:
            return
        if isinstance(importer, ExistingConversation):
            self._merge_long(item, conversation, importer)
            return
        is_complete = False
        while not is_complete:
            with write_transaction() as tx:
                is_complete = store_next_part(tx, importer)
            self._yield_database(TARGET_WRITE_SECONDS)
        with write_transaction() as tx:
            finish_conversation(tx, importer)

    def _merge_long(
        self, item: PendingRecord, conversation: ImportedConversation, existing: ExistingConversation
    ) -> None:
        """Add what is new in a long conversation in several writes; each leaves a whole conversation."""
        stored = {conversation.import_source_id: existing}
        result = import_merge.find_new_messages(existing, conversation)

        def add_next_part(tx: WriteSession) -> MergeResult:
            part = import_merge.add_new_messages(tx, existing, conversation, limit=import_store.BATCH_SIZE)
            whole = MergeResult(result.added + part.added, part.between, is_complete=part.is_complete)
            notes = [outcome_note(item, stored, whole)] if whole.is_complete else []
            self._save_progress(tx, notes, part.added)
            return whole

        if result.is_complete:
            unchanged = outcome_note(item, stored, result)
            self._in_transaction(lambda tx: self._save_progress(tx, [unchanged]))
        while not result.is_complete:
            result = self._in_transaction(add_next_part)
            self._yield_database(TARGET_WRITE_SECONDS)

    def _save_progress(self, tx: WriteSession, notes: list[dict[str, Any]], message_count: int = 0) -> None:
        progress = ImportProgress(notes, message_count, read_bytes=self._bytes_read)
        import_leases.heartbeat(tx, self._claim, progress, lease_seconds=LEASE_SECONDS)

    def _delete_partial(self) -> None:
        claim = self._claim

        def delete_next_part(tx: WriteSession) -> bool:
            import_leases.renew(tx, claim, LEASE_SECONDS)
            return partial_imports.delete_batch(tx, claim.user_id, claim.partial_marker)

        while self._in_transaction(delete_next_part):
            self._yield_database(TARGET_WRITE_SECONDS)

    def _at_fixed_pace(self, store: Callable[[WriteSession], int]) -> None:
        """Do a write, adapt the size of the next one to its duration, and pause so that others can write."""
        started = time.monotonic()
        stored_count = self._in_transaction(store)
        write_seconds = time.monotonic() - started
        if stored_count > MIN_WEIGHT:
            self._max_weight = min(
                max(stored_count * TARGET_WRITE_SECONDS / write_seconds, self._max_weight / 2, MIN_WEIGHT),
                self._max_weight * 2,
                MAX_WEIGHT,
            )
        self._yield_database(write_seconds)

    def _yield_database(self, write_seconds: float) -> None:
        self._stop.wait(PAUSE_RATIO * write_seconds)

    def _in_transaction(self, operation: Callable[[WriteSession], T]) -> T:
        """Return the result of `operation` in a write transaction; wait while the database cannot be used."""

        def run_in_transaction() -> T:
            with write_transaction() as tx:
                return operation(tx)

        return retry_storage_errors(run_in_transaction, self._stop)
