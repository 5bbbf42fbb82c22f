"""Files of other sites, and files that were made to do harm."""

from __future__ import annotations

import io
import json
import struct
import threading
import zipfile
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask, current_app
from sqlalchemy import func, select, update

from chatsite.database import WriteSession, db, utcnow, write_transaction
from chatsite.errors import (
    ArchiveBombError,
    ArchiveDamagedError,
    ChatsiteError,
    ImportCrashedError,
    ImportQuotaExceededError,
    NotesWithoutRolesError,
    NotFoundError,
    NothingFoundError,
    NotJsonError,
    OtherEncodingError,
    RecordDamagedError,
    UploadIncompleteError,
)
from chatsite.models import Conversation, Import, ImportOutcome, ImportState, UploadChunk, User
from chatsite.runner import import_job, import_worker
from chatsite.services.accounts import users
from chatsite.services.leases import LeaseLostError
from chatsite.services.organize import tags
from chatsite.services.search import search
from chatsite.services.transfer import import_leases, import_store, imports
from chatsite.services.transfer.files import archives
from chatsite.services.transfer.formats.native import PARTIAL_PREFIX
from tests.conftest import People
from tests.support import other_exports
from tests.support import transfer_fixtures as t

# What does not depend on the database is tested with one.
ONE_DATABASE = pytest.mark.parametrize("any_app", ["sqlite"], indirect=True)

NO_PROGRESS = import_leases.ImportProgress([], message_count=0, read_bytes=0)


def zipped(members: dict[str, object], **options: Any) -> bytes:
    """A zip archive."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content if isinstance(content, bytes) else json.dumps(content))
    return held.getvalue()


def test_chatgpt_export_is_imported(people: People) -> None:
    found = t.import_file(people.alice, [other_exports.make_chatgpt_conversation()])
    assert t.list_outcomes(found) == [("Recetas 1", ImportOutcome.IMPORTED, None)]
    [talk] = t.list_conversations(people.alice)
    assert (talk.import_source_id, talk.model) == ("chatgpt:6a1", None)
    assert talk.archived_at is not None
    assert talk.created_at.isoformat() == "2023-11-14T22:13:20.250000+00:00"
    assert t.list_shown_texts(talk) == ["[image]\n\n¿Qué es?", "Nuevo"]
    assert [(m.text, m.is_active, m.import_source_id) for m in t.list_messages(talk)][1:] == [
        ("Viejo", False, "m-old"),
        ("Nuevo", True, "m-new"),
    ]
    assert [m.generation.model for m in t.list_messages(talk) if m.generation] == ["gpt-4", "gpt-4o"]
    assert t.import_file(people.alice, [other_exports.make_chatgpt_conversation()]).duplicate_count == 1


@ONE_DATABASE
def test_claude_export_is_imported(people: People) -> None:
    t.import_file(people.alice, [other_exports.make_claude_conversation()])
    [talk] = t.list_conversations(people.alice)
    assert t.list_shown_texts(talk) == ["Read this\n\n[poem.txt]\n\nRoses\n\n[image: a.png]", "Lovely."]
    assert (talk.title, talk.import_source_id) == ("Poems 1", "claude:c-1")
    assert talk.updated_at.isoformat() == "2025-01-02T03:05:00+00:00"


@ONE_DATABASE
def test_openwebui_export_is_imported(people: People) -> None:
    t.import_file(
        people.alice, [other_exports.make_openwebui_conversation(), other_exports.make_openwebui_conversation(2)]
    )
    talk, _ = t.list_conversations(people.alice)
    assert t.list_shown_texts(talk) == ["Hi", "One"]
    assert [m.text for m in t.list_messages(talk)] == ["Hi", "One", "Two"]
    assert talk.pinned
    assert [tag.name for tag in tags.list_for(people.alice)] == ["home"]
    # A single chat is exported without an array around it, or with the chat alone.
    assert t.import_file(people.alice, other_exports.make_openwebui_conversation(3)).imported_count == 1


@ONE_DATABASE
def test_zip_archive_with_sharded_files_is_imported_in_order(people: People) -> None:
    members: dict[str, object] = {
        f"conversations-{n:03}.json": [other_exports.make_chatgpt_conversation(n)] for n in (2, 10, 1)
    }
    found = t.import_file(people.alice, zipped({**members, "user.json": {"id": 1}, "chat.html": b"<b>"}), "x.zip")
    # The account in `user.json` has no place here.
    titles = [title for title, *_ in t.list_outcomes(found)]
    assert titles == ["Recetas 1", "Recetas 2", "Recetas 10", "Other data"]
    assert found.processed_bytes == found.size_bytes


def test_imported_messages_are_searchable(people: People) -> None:
    t.import_file(people.alice, [other_exports.make_chatgpt_conversation()])
    assert [message.text for message in search.search(people.alice, "nuevo model:gpt-4o").messages] == ["Nuevo"]


@ONE_DATABASE
def test_damaged_file_imports_valid_records_and_reports_others(people: People) -> None:
    whole = [other_exports.make_chatgpt_conversation(n) for n in range(1, 6)]
    texts = [json.dumps(each) for each in whole]
    texts[1] = texts[1].replace('"parts": ["Nuevo"]', '"parts": ["Nue')
    texts[3] = texts[3].replace("1700000005", "17x0")
    found = t.import_file(people.alice, "[" + ",\n".join(texts)[:-200])
    assert [(title, outcome) for title, outcome, _ in t.list_outcomes(found)] == [
        ("Recetas 1", ImportOutcome.IMPORTED),
        ("Recetas 2", ImportOutcome.SKIPPED),
        ("Recetas 3", ImportOutcome.IMPORTED),
        ("Recetas 4", ImportOutcome.SKIPPED),
        ("Recetas 5", ImportOutcome.SKIPPED),
    ]
    assert t.list_outcomes(found)[1][2] == RecordDamagedError()
    assert found.state is ImportState.DONE


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", NotJsonError()),
        (b"hello", NotJsonError()),
        (b"\xff\xfe[\x00", OtherEncodingError(encoding="UTF-16")),
        (b"[" * 1_000_000, NothingFoundError()),
        (b"[1, null, []]", NothingFoundError()),
        (b"PK\x03\x04 and nothing", ArchiveDamagedError()),
        (zipped({"conversations.json": b"0" * 30_000_000}), ArchiveBombError()),
        (zipped({"readme.txt": b"x"}), NotesWithoutRolesError(count=1)),
        (zipped({"photo.png": b"x"}), NothingFoundError()),
        (zipped({"a.zip": zipped({"conversations.json": []})}), NothingFoundError()),
    ],
    ids=range(10),
)
def test_invalid_export_fails_with_error_message(app: Flask, data: bytes, error: ChatsiteError) -> None:
    with app.app_context():
        found = t.import_file(users.get_or_create_by_token("alice"), data)
        assert (found.state, found.error) == (ImportState.FAILED, error)
        assert db.session.scalar(select(func.count(UploadChunk.import_id))) == 0
        db.session.remove()


def test_zip_with_false_sizes_fails(app: Flask) -> None:
    data = bytearray(zipped({"conversations.json": [other_exports.make_chatgpt_conversation(n) for n in range(50)]}))
    size = struct.pack("<L", len(json.dumps([other_exports.make_chatgpt_conversation(n) for n in range(50)])))
    place = data.rfind(size)
    data[place : place + 4] = struct.pack("<L", 100)
    with app.app_context():
        found = t.import_file(users.get_or_create_by_token("alice"), bytes(data))
        assert found.state is ImportState.FAILED
        assert found.imported_count == 0
        db.session.remove()


def test_oversized_zip_directory_is_rejected() -> None:
    # The end record says that the list of members has a hundred megabytes.
    held = b"PK\x03\x04" + b"\0" * 100 + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 9, 9, 100_000_000, 0, 0)
    with pytest.raises(ArchiveBombError, match="more data than is allowed"):
        list(archives.iter_members(archives.Upload(io.BytesIO(held), "x.zip", len(held), 10**9)))


def test_import_resumes_after_process_death(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_job, "INITIAL_WEIGHT", 2)
    monkeypatch.setattr(import_store, "BATCH_SIZE", 2)
    data = json.dumps([other_exports.make_chatgpt_conversation(n) for n in range(1, 5)])
    made = imports.upload(people.alice, "f", io.BytesIO(data.encode()).read, max_bytes=t.MAX_BYTES)
    public_id = made.public_id
    stored = import_store.ConversationImporter.insert_batch
    steps = iter(range(5))

    def die(importer: import_store.ConversationImporter, tx: WriteSession) -> bool:
        if next(steps) == 4:
            raise KeyboardInterrupt
        return stored(importer, tx)

    monkeypatch.setattr(import_store.ConversationImporter, "insert_batch", die)
    with pytest.raises(KeyboardInterrupt):
        import_worker.run_imports(current_app.config, threading.Event(), "first")
    monkeypatch.setattr(import_store.ConversationImporter, "insert_batch", stored)
    hidden = db.session.scalars(select(Conversation).where(Conversation.expires_at.is_not(None))).all()
    assert len(hidden) == 1
    assert not import_leases.has_work()
    import_leases.expire("first")
    import_worker.run_imports(current_app.config, threading.Event(), "second")
    found = imports.get(people.alice, public_id)
    assert (found.state, found.imported_count, found.attempts) == (ImportState.DONE, 4, 2)
    assert [talk.title for talk in t.list_conversations(people.alice)] == [f"Recetas {n}" for n in range(1, 5)]
    assert [note.seq for note, _ in imports.list_results(found).items] == [1, 2, 3, 4]


def test_import_fails_after_max_crashes(people: People) -> None:
    made = imports.upload(people.alice, "f", io.BytesIO(b"[{}]").read, max_bytes=t.MAX_BYTES)
    for attempt in range(1, import_leases.MAX_CRASHES + 1):
        claimed = import_leases.claim(f"owner-{attempt}", 60)
        assert claimed is not None
        assert claimed.attempts == attempt
        import_leases.expire(claimed.lease_owner)
    assert import_leases.claim("last", 60) is None
    assert imports.get(people.alice, made.public_id).error == ImportCrashedError()


def test_expired_import_lease_holder_cannot_write(people: People) -> None:
    made = imports.upload(people.alice, "f", io.BytesIO(b"[{}]").read, max_bytes=t.MAX_BYTES)
    old = import_leases.claim("old", 60)
    assert old
    import_leases.expire("old")
    assert import_leases.claim("new", 60)
    with pytest.raises(LeaseLostError), write_transaction() as tx:
        import_leases.heartbeat(tx, old, NO_PROGRESS, lease_seconds=60)
    import_leases.finish(old, ImportCrashedError())
    assert imports.get(people.alice, made.public_id).state is ImportState.RUNNING


def test_cancel_stops_waiting_and_running_imports(people: People) -> None:
    waiting = imports.upload(people.alice, "f", io.BytesIO(b"[{}]").read, max_bytes=t.MAX_BYTES)
    assert imports.cancel(waiting).state is ImportState.CANCELED
    running = imports.upload(people.alice, "f", io.BytesIO(b"[{}]").read, max_bytes=t.MAX_BYTES)
    claimed = import_leases.claim("owner", 60)
    assert claimed
    assert imports.cancel(running).state is ImportState.RUNNING
    with pytest.raises(LeaseLostError), write_transaction() as tx:
        import_leases.heartbeat(tx, claimed, NO_PROGRESS, lease_seconds=60)
    import_leases.finish(claimed)
    import_leases.delete_finished_uploads()
    assert imports.get(people.alice, running.public_id).state is ImportState.CANCELED
    assert db.session.scalar(select(func.count(UploadChunk.import_id))) == 0
    with pytest.raises(NotFoundError):
        imports.get(people.bob, running.public_id)


def test_waiting_import_size_limited_and_broken_uploads_fail(people: People) -> None:
    imports.upload(people.alice, "f", io.BytesIO(b"x" * 600).read, max_bytes=1000)
    with pytest.raises(ImportQuotaExceededError):
        imports.upload(people.alice, "f", io.BytesIO(b"x" * 600).read, max_bytes=1000)
    imports.upload(people.bob, "f", io.BytesIO(b"x" * 600).read, max_bytes=1000)
    assert len(imports.list_recent(people.alice)) == 1
    with write_transaction() as session:
        broken = Import(user_id=people.alice.id, name="broken", lease_until=utcnow() - timedelta(seconds=1))
        session.add(broken)
    assert import_leases.has_work()
    import_leases.claim("owner", 60)
    assert imports.get(people.alice, broken.public_id).error == UploadIncompleteError()


@ONE_DATABASE
def test_import_releases_database_between_batches(people: People) -> None:
    """Each write of an import holds the database for a moment; nothing of it is held between two of them."""
    data = json.dumps([other_exports.make_claude_conversation(n) for n in range(400)]).encode()
    imports.upload(people.alice, "f", io.BytesIO(data).read, max_bytes=t.MAX_BYTES)
    lengths: list[float] = []
    wait = threading.Event.wait

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            assert not db.session().in_transaction() or not db.session().info.get("writing")
            lengths.append(timeout or 0)
            return wait(self, 0)

    import_worker.run_imports(current_app.config, Stop())
    assert len(lengths) >= 3
    assert len(t.list_conversations(people.alice)) == 400


def test_import_creates_rows_only_for_its_owner(people: People) -> None:
    t.create_history(people.bob)
    before = t.export_native(people.bob)
    forged = json.loads(before)
    for talk in forged["conversations"]:
        talk["user_id"] = people.bob.id
        talk["messages"].append({**talk["messages"][-1], "id": "A" * 16, "parent": talk["messages"][-1]["id"]})
    t.import_file(people.alice, forged)
    assert t.export_native(people.bob) == before
    assert {talk.user_id for talk in t.list_conversations(people.alice)} == {people.alice.id}
    assert db.session.scalar(select(func.count(User.id))) == 2


@ONE_DATABASE
def test_forged_partial_origin_is_ignored(people: People) -> None:
    own = {"id": "A" * 16, "origin": PARTIAL_PREFIX + "x", "title": "T", "messages": []}
    t.import_file(people.alice, json.dumps({"format": "chatsite-export", "version": 1, "conversations": [own]}))
    [talk] = t.list_conversations(people.alice)
    assert (talk.import_source_id, talk.public_id) == (None, "A" * 16)


@ONE_DATABASE
def test_trashed_conversation_is_not_imported_again(people: People) -> None:
    t.import_file(people.alice, [other_exports.make_claude_conversation()])
    with write_transaction() as session:
        session.execute(update(Conversation).values(deleted_at=utcnow()))
    found = t.import_file(
        people.alice,
        [
            other_exports.make_claude_conversation(),
            other_exports.make_claude_conversation(2),
            other_exports.make_claude_conversation(2),
        ],
    )
    assert (found.duplicate_count, found.imported_count) == (2, 1)
    [(note, public_id), *_] = imports.list_results(found).items
    assert note.outcome is ImportOutcome.DUPLICATE
    assert public_id is None


@ONE_DATABASE
def test_import_report_is_paged_and_filtered(people: People) -> None:
    found = t.import_file(
        people.alice,
        [
            other_exports.make_claude_conversation(1),
            {"x": 1},
            other_exports.make_claude_conversation(2),
            {"title": "Odd"},
        ],
    )
    first = imports.list_results(found, size=2)
    second = imports.list_results(found, first.next, size=2)
    assert [note.title for note, _ in [*first.items, *second.items]] == ["Poems 1", "Untitled", "Poems 2", "Odd"]
    assert second.next is None
    named = {talk.public_id: talk.title for talk in t.list_conversations(people.alice)}
    assert [named[name] for note, name in first.items if name] == ["Poems 1"]
    assert [named[name] for note, name in second.items if name] == ["Poems 2"]
    assert len(imports.list_results(found, outcome="skipped").items) == 2
    for after, outcome in (("x", None), (None, "odd")):
        with pytest.raises(NotFoundError):
            imports.list_results(found, after, outcome)
