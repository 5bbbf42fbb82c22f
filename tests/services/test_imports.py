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
from flask import Flask
from sqlalchemy import func, select, update

from chatsite.database import db, now, write
from chatsite.errors import ImportsWaitingError, NotFoundError
from chatsite.models import Conversation, Import, ImportPart, ImportState, Outcome, User
from chatsite.runner import bringing
from chatsite.services import accounts, import_claims, imports, search, tags
from chatsite.services.transfer import archives, splitting, storing
from tests.conftest import People
from tests.services import foreign
from tests.services import transferring as t

# What does not depend on the database is tested with one.
ONE_DATABASE = pytest.mark.parametrize("any_app", ["sqlite"], indirect=True)


def zipped(members: dict[str, object], **options: Any) -> bytes:
    """A zip archive."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content if isinstance(content, bytes) else json.dumps(content))
    return held.getvalue()


def test_chatgpt(people: People) -> None:
    found = t.bring(people.alice, [foreign.chatgpt()])
    assert t.report(found) == [("Recetas 1", Outcome.IMPORTED, None)]
    [talk] = t.talks(people.alice)
    assert (talk.origin, talk.model) == ("chatgpt:6a1", None)
    assert talk.archived_at is not None
    assert talk.created_at.isoformat() == "2023-11-14T22:13:20.250000+00:00"
    assert t.shown(talk) == ["[image]\n\n¿Qué es?", "Nuevo"]
    assert [(m.text, m.shown, m.origin) for m in t.said(talk)][1:] == [
        ("Viejo", False, "m-old"),
        ("Nuevo", True, "m-new"),
    ]
    assert [m.generation.model for m in t.said(talk) if m.generation] == ["gpt-4", "gpt-4o"]
    assert t.bring(people.alice, [foreign.chatgpt()]).present == 1


@ONE_DATABASE
def test_claude(people: People) -> None:
    t.bring(people.alice, [foreign.claude()])
    [talk] = t.talks(people.alice)
    assert t.shown(talk) == ["Read this\n\n[poem.txt]\n\nRoses\n\n[a.png]", "Lovely."]
    assert (talk.title, talk.origin) == ("Poems 1", "claude:c-1")
    assert talk.updated_at.isoformat() == "2025-01-02T03:05:00+00:00"


@ONE_DATABASE
def test_open_webui(people: People) -> None:
    t.bring(people.alice, [foreign.openwebui(), foreign.openwebui(2)])
    talk, _ = t.talks(people.alice)
    assert t.shown(talk) == ["Hi", "One"]
    assert [m.text for m in t.said(talk)] == ["Hi", "One", "Two"]
    assert talk.pinned
    assert [tag.name for tag in tags.index(people.alice)] == ["home"]
    # A single chat is exported without an array around it, or with the chat alone.
    assert t.bring(people.alice, foreign.openwebui(3)).imported == 1


@ONE_DATABASE
def test_the_archive_of_a_mail_and_its_shards(people: People) -> None:
    members: dict[str, object] = {f"conversations-{n:03}.json": [foreign.chatgpt(n)] for n in (2, 10, 1)}
    found = t.bring(people.alice, zipped({**members, "user.json": {"id": 1}, "chat.html": b"<b>"}), "x.zip")
    assert [title for title, *_ in t.report(found)] == ["Recetas 1", "Recetas 2", "Recetas 10"]
    assert found.bytes_done == found.size


def test_what_was_imported_is_found(people: People) -> None:
    t.bring(people.alice, [foreign.chatgpt()])
    assert [message.text for message in search.find(people.alice, "nuevo model:gpt-4o").messages] == ["Nuevo"]


@ONE_DATABASE
def test_a_damaged_file_gives_what_is_sound_and_names_what_is_not(people: People) -> None:
    whole = [foreign.chatgpt(n) for n in range(1, 6)]
    texts = [json.dumps(each) for each in whole]
    texts[1] = texts[1].replace('"parts": ["Nuevo"]', '"parts": ["Nue')
    texts[3] = texts[3].replace("1700000005", "17x0")
    found = t.bring(people.alice, "[" + ",\n".join(texts)[:-200])
    assert [(title, outcome) for title, outcome, _ in t.report(found)] == [
        ("Recetas 1", Outcome.IMPORTED),
        ("Recetas 2", Outcome.SKIPPED),
        ("Recetas 3", Outcome.IMPORTED),
        ("Recetas 4", Outcome.SKIPPED),
        ("Recetas 5", Outcome.SKIPPED),
    ]
    assert t.report(found)[1][2] == splitting.DAMAGED
    assert found.state is ImportState.DONE


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", splitting.NO_JSON),
        (b"hello", splitting.NO_JSON),
        (b"\xff\xfe[\x00", splitting.NO_JSON),
        (b"[" * 1_000_000, archives.NOTHING),
        (b"[1, null, []]", archives.NOTHING),
        (b"PK\x03\x04 and nothing", archives.BROKEN),
        (zipped({"conversations.json": b"0" * 30_000_000}), archives.BOMB),
        (zipped({"readme.txt": b"x"}), archives.NOTHING),
        (zipped({"a.zip": zipped({"conversations.json": []})}), archives.NOTHING),
    ],
    ids=range(9),
)
def test_what_is_no_export_is_refused_with_a_sentence(app: Flask, data: bytes, sentence: str) -> None:
    with app.app_context():
        found = t.bring(accounts.find_or_create("alice"), data)
        assert (found.state, found.error) == (ImportState.FAILED, sentence)
        assert db.session.scalar(select(func.count(ImportPart.import_id))) == 0
        db.session.remove()


def test_an_archive_that_lies_about_its_sizes(app: Flask) -> None:
    data = bytearray(zipped({"conversations.json": [foreign.chatgpt(n) for n in range(50)]}))
    size = struct.pack("<L", len(json.dumps([foreign.chatgpt(n) for n in range(50)])))
    place = data.rfind(size)
    data[place : place + 4] = struct.pack("<L", 100)
    with app.app_context():
        found = t.bring(accounts.find_or_create("alice"), bytes(data))
        assert found.state is ImportState.FAILED
        assert found.imported == 0
        db.session.remove()


def test_a_directory_that_would_fill_the_memory_is_not_read() -> None:
    # The end record says that the list of members has a hundred megabytes.
    held = b"PK\x03\x04" + b"\0" * 100 + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 9, 9, 100_000_000, 0, 0)
    with pytest.raises(archives.UnreadableError, match="far more"):
        list(archives.sources(io.BytesIO(held), len(held), 10**9))


def records(text: str | bytes) -> list[splitting.Record]:
    """The records of a text."""
    data = text if isinstance(text, bytes) else text.encode()
    return list(splitting.Splitter(io.BytesIO(data).read).records())


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_records_are_cut_wherever_the_file_is(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splitting, "CHUNK", chunk)
    objects = [{"title": '] } " \\', "deep": [[{"a": "\\\\"}]]}, {"title": "\N{SNOWMAN}\u2028", "n": 1.5}]
    for text in (
        json.dumps(objects),
        json.dumps(objects, indent=2, ensure_ascii=False),
        "\ufeff" + json.dumps(objects),
    ):
        assert [record.value for record in records(text)] == objects
    own = '{"format": "chatsite-export", "tags": [{"name": "x"}], "conversations": [{"id": 1}]}'
    assert [(record.key, record.value) for record in records(own)] == [
        ("tags", {"name": "x"}),
        ("conversations", {"id": 1}),
    ]


def test_what_is_too_deep_or_too_large_costs_only_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splitting, "CHUNK", 1000)
    monkeypatch.setattr(splitting, "MOST_BYTES", 5000)
    deep = '{"title": "deep", "x": ' + "[" * 200 + "]" * 200 + "}"
    long = '{"title": "long", "x": "' + "a\\\\" * 9000 + '"}'
    wide = '{"title": "wide", "x": [' + '"b",' * 5000 + '"b"]}'
    for middle, problem in ((deep, splitting.TOO_DEEP), (long, splitting.TOO_LARGE), (wide, splitting.TOO_LARGE)):
        found = records(f'[{{"title": "first"}}, {middle}, {{"title": "last"}}]')
        assert [record.problem for record in found] == [None, problem, None]
        assert found[1].title == middle[11:15]


def test_many_damaged_records_end_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    text = '[{"title": "a", "x": 1}' + ', {"title": "a", "x": [' * 5000
    assert 90 < len(records(text)) < 200


def test_an_import_goes_on_where_a_dead_process_left_it(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bringing, "FIRST", 2)
    monkeypatch.setattr(storing, "BATCH", 2)
    data = json.dumps([foreign.chatgpt(n) for n in range(1, 5)])
    made = imports.receive(people.alice, "f", io.BytesIO(data.encode()).read, t.MOST)
    public_id = made.public_id
    stored = storing.Arrival.step
    steps = iter(range(5))

    def die(arrival: storing.Arrival) -> bool:
        if next(steps) == 4:
            raise KeyboardInterrupt
        return stored(arrival)

    monkeypatch.setattr(storing.Arrival, "step", die)
    with pytest.raises(KeyboardInterrupt):
        bringing.work(t.current_app.config, threading.Event(), "first")
    monkeypatch.setattr(storing.Arrival, "step", stored)
    hidden = db.session.scalars(select(Conversation).where(Conversation.expires_at.is_not(None))).all()
    assert len(hidden) == 1
    assert not import_claims.waiting()
    import_claims.release("first")
    bringing.work(t.current_app.config, threading.Event(), "second")
    found = imports.find(people.alice, public_id)
    assert (found.state, found.imported, found.attempt) == (ImportState.DONE, 4, 2)
    assert [talk.title for talk in t.talks(people.alice)] == [f"Recetas {n}" for n in range(1, 5)]
    assert [note.seq for note, _ in imports.notes(found).items] == [1, 2, 3, 4]


def test_what_kills_every_process_is_given_up(people: People) -> None:
    made = imports.receive(people.alice, "f", io.BytesIO(b"[{}]").read, t.MOST)
    for attempt in range(1, import_claims.ATTEMPTS + 1):
        claimed = import_claims.claim(f"owner-{attempt}", 60)
        assert claimed is not None
        assert claimed.attempt == attempt
        import_claims.release(claimed.owner)
    assert import_claims.claim("last", 60) is None
    assert imports.find(people.alice, made.public_id).error == import_claims.GIVEN_UP


def test_a_process_that_was_taken_for_dead_changes_nothing(people: People) -> None:
    made = imports.receive(people.alice, "f", io.BytesIO(b"[{}]").read, t.MOST)
    old = import_claims.claim("old", 60)
    assert old
    import_claims.release("old")
    assert import_claims.claim("new", 60)
    with pytest.raises(import_claims.LostError), write():
        import_claims.advance(old, 60, [], 0, 0)
    import_claims.finish(old, "Broken")
    assert imports.find(people.alice, made.public_id).state is ImportState.RUNNING


def test_cancelling(people: People) -> None:
    waiting = imports.receive(people.alice, "f", io.BytesIO(b"[{}]").read, t.MOST)
    assert imports.cancel(waiting).state is ImportState.CANCELLED
    running = imports.receive(people.alice, "f", io.BytesIO(b"[{}]").read, t.MOST)
    claimed = import_claims.claim("owner", 60)
    assert claimed
    assert imports.cancel(running).state is ImportState.RUNNING
    with pytest.raises(import_claims.LostError), write():
        import_claims.advance(claimed, 60, [], 0, 0)
    import_claims.finish(claimed)
    import_claims.tidy()
    assert imports.find(people.alice, running.public_id).state is ImportState.CANCELLED
    assert db.session.scalar(select(func.count(ImportPart.import_id))) == 0
    with pytest.raises(NotFoundError):
        imports.find(people.bob, running.public_id)


def test_what_waits_is_bounded_and_what_does_not_arrive_goes(people: People) -> None:
    imports.receive(people.alice, "f", io.BytesIO(b"x" * 600).read, 1000)
    with pytest.raises(ImportsWaitingError):
        imports.receive(people.alice, "f", io.BytesIO(b"x" * 600).read, 1000)
    imports.receive(people.bob, "f", io.BytesIO(b"x" * 600).read, 1000)
    assert len(imports.newest(people.alice)) == 1
    with write() as session:
        broken = Import(user_id=people.alice.id, name="broken", lease_until=now() - timedelta(seconds=1))
        session.add(broken)
    assert import_claims.waiting()
    import_claims.claim("owner", 60)
    assert imports.find(people.alice, broken.public_id).error == import_claims.BROKE_OFF


@ONE_DATABASE
def test_posts_go_on_while_a_file_is_read(people: People) -> None:
    """Each write of an import holds the database for a moment; nothing of it is held between two of them."""
    data = json.dumps([foreign.claude(n) for n in range(400)]).encode()
    imports.receive(people.alice, "f", io.BytesIO(data).read, t.MOST)
    lengths: list[float] = []
    wait = threading.Event.wait

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            assert not db.session().in_transaction() or not db.session().info.get("writing")
            lengths.append(timeout or 0)
            return wait(self, 0)

    bringing.work(t.current_app.config, Stop())
    assert len(lengths) >= 3
    assert len(t.talks(people.alice)) == 400


def test_an_import_makes_rows_of_its_owner_only(people: People) -> None:
    t.life(people.bob)
    before = t.export(people.bob)
    forged = json.loads(before)
    for talk in forged["conversations"]:
        talk["user_id"] = people.bob.id
        talk["messages"].append({**talk["messages"][-1], "id": "A" * 16, "parent": talk["messages"][-1]["id"]})
    t.bring(people.alice, forged)
    assert t.export(people.bob) == before
    assert {talk.user_id for talk in t.talks(people.alice)} == {people.alice.id}
    assert db.session.scalar(select(func.count(User.id))) == 2


@ONE_DATABASE
def test_a_forged_mark_of_a_partial_conversation_is_no_origin(people: People) -> None:
    own = {"id": "A" * 16, "origin": storing.PARTIAL + "x", "title": "T", "messages": []}
    t.bring(people.alice, json.dumps({"format": "chatsite-export", "version": 1, "conversations": [own]}))
    [talk] = t.talks(people.alice)
    assert (talk.origin, talk.public_id) == (None, "A" * 16)


@ONE_DATABASE
def test_a_conversation_in_the_trash_is_not_brought_again(people: People) -> None:
    t.bring(people.alice, [foreign.claude()])
    with write() as session:
        session.execute(update(Conversation).values(deleted_at=now()))
    found = t.bring(people.alice, [foreign.claude(), foreign.claude(2), foreign.claude(2)])
    assert (found.present, found.imported) == (2, 1)
    [(note, public_id), *_] = imports.notes(found).items
    assert note.outcome is Outcome.PRESENT
    assert public_id is None


@ONE_DATABASE
def test_the_report_has_pages_and_kinds(people: People) -> None:
    found = t.bring(people.alice, [foreign.claude(1), {"x": 1}, foreign.claude(2), {"title": "Odd"}])
    first = imports.notes(found, size=2)
    second = imports.notes(found, first.next, size=2)
    assert [note.title for note, _ in [*first.items, *second.items]] == ["Poems 1", "Untitled", "Poems 2", "Odd"]
    assert second.next is None
    named = {talk.public_id: talk.title for talk in t.talks(people.alice)}
    assert [named[name] for note, name in first.items if name] == ["Poems 1"]
    assert [named[name] for note, name in second.items if name] == ["Poems 2"]
    assert len(imports.notes(found, outcome="skipped").items) == 2
    for after, outcome in (("x", None), (None, "odd")):
        with pytest.raises(NotFoundError):
            imports.notes(found, after, outcome)
