"""Random conversations of all formats: they look here as they look in their product, and survive every round trip."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from chatsite.database import write_transaction
from chatsite.errors import NothingWrittenError
from chatsite.models import Conversation, ImportOutcome, Persona, Role, Tag, User
from chatsite.services.transfer import imports, message_ordering
from chatsite.services.transfer.formats import detect
from chatsite.services.transfer.records import Record
from tests.conftest import People
from tests.support import transfer_fixtures as t
from tests.support.product_readers import READERS, Seen
from tests.support.random_exports import RandomExport, make_export

FORMATS = tuple(READERS)


def check_record(format_: str, rng: random.Random, size: int) -> None:
    """Compare what the parser makes of a random conversation with what a person sees of it."""
    export = make_export(format_, rng, f"{format_}-{rng.randrange(10**6)}", size)
    record = export.build(export.entries, rng)
    seen = READERS[format_](record)
    try:
        parsed = detect.parse_record(Record("conversations" if format_ == "native" else "", record, 0))
    except NothingWrittenError:
        assert not seen.branches
        return
    rows = [(each.source_key, each.parent_key, each.role, each.text, each.created_at) for each in parsed.messages]
    lines = {key: f"{role}: {text}" for key, _, role, text, _ in rows}
    assert parsed.title == seen.title
    assert list_branches({key: parent for key, parent, *_ in rows}, lines) == seen.branches
    shown = tuple(lines[key] for key in message_ordering.active_path(parsed.messages))
    assert shown[: len(seen.current)] == seen.current
    times = {f"{role}: {text}": time for _, _, role, text, time in rows}
    assert {line: times[line] for line in seen.times} == seen.times
    models = {lines[each.source_key]: each.generations[-1]["model"] for each in parsed.messages if each.generations}
    assert {line: model for line, model in models.items() if model} == seen.models


def list_branches(parents: Mapping[Any, Any], lines: Mapping[Any, str]) -> frozenset[tuple[str, ...]]:
    """Return all branches of a tree, from its first messages to its last ones."""
    paths: dict[Any, tuple[str, ...]] = {None: ()}
    for key, parent in parents.items():
        paths[key] = (*paths[parent], lines[key])
    return frozenset(path for key, path in paths.items() if key is not None and key not in set(parents.values()))


@pytest.mark.parametrize("format_", FORMATS)
@settings(max_examples=60, deadline=None)
@given(rng=st.randoms(use_true_random=False))
def test_random_conversation_is_read_as_its_product_shows_it(format_: str, rng: random.Random) -> None:
    check_record(format_, rng, 12)


@pytest.mark.exhaustive
@pytest.mark.parametrize("format_", FORMATS)
def test_many_random_conversations_are_read_as_their_product_shows_them(format_: str) -> None:
    for seed in range(5000):
        check_record(format_, random.Random(seed), 5 + seed % 60)


def test_random_files_survive_round_trips(people: People) -> None:
    check_files(people.alice, seed=1, conversations=3)


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(100, 110))
def test_many_random_files_survive_round_trips(people: People, seed: int) -> None:
    check_files(people.alice, seed, conversations=15)


def check_files(user: User, seed: int, *, conversations: int) -> None:
    """Import earlier states of random conversations, then all of them, twice; and bring the export elsewhere."""
    rng = random.Random(seed)
    exports = [make_export(each, rng, f"{each}{seed}{n}") for each in FORMATS for n in range(conversations)]
    # The earlier ones have a beginning of each conversation, and another branch may be open.
    import_records(
        user, [(each, each.build(each.entries[: rng.randint(1, len(each.entries))], rng)) for each in exports]
    )
    records = [(each, each.build(each.entries, rng)) for each in exports]
    notes = import_records(user, records)
    check_conversations(user, [READERS[each.format](record) for each, record in records], notes)
    first = t.export_native(user)
    assert ImportOutcome.UPDATED in {outcome for outcome, _ in notes.values()}
    assert {outcome for outcome, _ in import_records(user, records).values()} <= {
        ImportOutcome.DUPLICATE,
        ImportOutcome.SKIPPED,
    }
    assert t.export_native(user) == first
    with write_transaction() as session:
        for model in (Conversation, Tag, Persona):
            session.execute(delete(model))
    for _ in range(2):
        t.import_file(user, first)
        assert t.export_native(user) == first


def import_records(
    user: User, records: Sequence[tuple[RandomExport, dict[str, Any]]]
) -> dict[str, tuple[ImportOutcome, int]]:
    """Import records, those of this site in a file of their own; return the outcome and added messages by title."""
    own = [record for export, record in records if export.format == "native"]
    files = [json.dumps([record for export, record in records if export.format != "native"])]
    files.append(json.dumps({"format": "chatsite-export", "version": 1, "conversations": own}))
    notes: dict[str, tuple[ImportOutcome, int]] = {}
    for file in files:
        found = t.import_file(user, file)
        page = imports.list_results(found, size=1000).items
        notes |= {note.title: (note.outcome, note.message_count) for note, _ in page}
    return notes


def check_conversations(user: User, expected: Sequence[Seen], notes: Mapping[str, tuple[ImportOutcome, int]]) -> None:
    """Compare what is stored with what a person sees in each product."""
    stored = {conversation.title: conversation for conversation in t.list_conversations(user)}
    for seen in expected:
        if not seen.branches:
            assert seen.title not in stored
            continue
        rows = t.list_messages(stored[seen.title])
        lines = {row.id: f"{row.role}: {row.text}" for row in rows}
        assert list_branches({row.id: row.parent_id for row in rows}, lines) == seen.branches
        assert {
            line: time for row in rows if (line := lines[row.id]) in seen.times and (time := row.created_at)
        } == seen.times
        models = {lines[row.id]: row.generation.model for row in rows if row.generation and row.generation.model}
        assert models == seen.models
        for parent in {row.parent_id for row in rows}:
            assert sum(row.is_active for row in rows if row.parent_id == parent) == 1
        shown = [f"{row.role}: {row.text}" for row in active_branch(rows)]
        assert active_branch(rows)[-1].id == stored[seen.title].active_leaf_id
        assert {row.role for row in rows} <= set(Role)
        if notes[seen.title][0] is ImportOutcome.IMPORTED:
            assert tuple(shown[: len(seen.current)]) == seen.current


def active_branch(rows: Sequence[Any]) -> list[Any]:
    """Return the messages of the active branch."""
    branch: list[Any] = []
    for row in rows:
        if row.is_active and row.parent_id == (branch[-1].id if branch else None):
            branch.append(row)
    return branch
