"""JSON is cut into records wherever its pieces end, whatever is wrong with some of them."""

from __future__ import annotations

import io
import json

import pytest

from chatsite.errors import RecordTooDeepError, RecordTooLargeError
from chatsite.services.transfer.files import json_records
from chatsite.services.transfer.message_ordering import ImportedConversation
from chatsite.services.transfer.records import Record
from tests.support import other_exports
from tests.support.file_reading import read_file


def records(text: str | bytes) -> list[Record]:
    """The records of a text."""
    data = text if isinstance(text, bytes) else text.encode()
    return list(json_records.RecordReader(io.BytesIO(data).read).iter_records())


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_records_split_correctly_at_any_chunk_size(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_records, "CHUNK_BYTES", chunk)
    objects = [{"title": '] } " \\', "deep": [[{"a": "\\\\"}]]}, {"title": "\N{SNOWMAN}\u2028", "n": 1.5}]
    for text in (
        json.dumps(objects),
        json.dumps(objects, indent=2, ensure_ascii=False),
        "\ufeff" + json.dumps(objects),
    ):
        assert [record.value for record in records(text)] == objects
    own = '{"format": "chatsite-export", "tags": [{"name": "x"}], "conversations": [{"id": 1}]}'
    assert [(record.array_name, record.value) for record in records(own)] == [
        ("tags", {"name": "x"}),
        ("conversations", {"id": 1}),
    ]


def test_too_deep_or_large_record_skips_only_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_records, "CHUNK_BYTES", 1000)
    monkeypatch.setattr(json_records, "MAX_RECORD_BYTES", 5000)
    deep = '{"title": "deep", "x": ' + "[" * 200 + "]" * 200 + "}"
    long = '{"title": "long", "x": "' + "a\\\\" * 9000 + '"}'
    wide = '{"title": "wide", "x": [' + '"b",' * 5000 + '"b"]}'
    for middle, problem in ((deep, RecordTooDeepError()), (long, RecordTooLargeError()), (wide, RecordTooLargeError())):
        found = records(f'[{{"title": "first"}}, {middle}, {{"title": "last"}}]')
        assert [record.error for record in found] == [None, problem, None]
        assert found[1].title == middle[11:15]


def test_parsing_stops_after_many_damaged_records(monkeypatch: pytest.MonkeyPatch) -> None:
    text = '[{"title": "a", "x": 1}' + ', {"title": "a", "x": [' * 5000
    assert 90 < len(records(text)) < 200


@pytest.mark.parametrize("key", ["conversations", "data"])
def test_lists_in_an_object_are_read(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = [other_exports.make_chatgpt_conversation(1), other_exports.make_claude_conversation(2)]
    wrapped = {"success": True, "meta": {"n": [1, {"a": 1}]}, key: whole, "tags": [{"name": "no tag of ours"}]}
    for chunk in (1, 50, 1 << 20):
        monkeypatch.setattr(json_records, "CHUNK_BYTES", chunk)
        found = read_file(wrapped)
        assert [each.title for each in found if isinstance(each, ImportedConversation)] == ["Recetas 1", "Poems 2"]
    # Each element is held to the limit of a record, and not the whole list.
    monkeypatch.setattr(json_records, "MAX_RECORD_BYTES", 4000)
    assert len(read_file({key: [other_exports.make_claude_conversation(n) for n in range(50)]})) == 50
    texts = [json.dumps(other_exports.make_claude_conversation(n)) for n in range(4)]
    texts[1] = texts[1].replace('"Hmm"', '"Hmm')
    found = read_file(f'{{"{key}": [{", ".join(texts)}]}}'.encode())
    assert [each.title for each in found if isinstance(each, ImportedConversation)] == ["Poems 0", "Poems 2", "Poems 3"]
    assert len(found) == 4
