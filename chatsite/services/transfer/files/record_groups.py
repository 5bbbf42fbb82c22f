"""Groups of records that are one conversation, in files with a record for each message or each prompt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from chatsite.errors import RecordTooLargeError, UnreadableError
from chatsite.services.transfer.files.json_records import MAX_RECORD_BYTES
from chatsite.services.transfer.formats import gemini, message_lists, sillytavern
from chatsite.services.transfer.omissions import Omissions, OmittedKind
from chatsite.services.transfer.records import Record, RecordKind

# Together with the bytes, this bounds the memory that a group takes.
MAX_RECORDS = 50_000


@dataclass
class _Group:
    """Records of one conversation, which began behind `start_offset` of the file."""

    kind: RecordKind
    start_offset: int
    values: list[dict[str, Any]] = field(default_factory=list)
    header: dict[str, Any] | None = None
    end_offset: int = 0
    is_too_large: bool = False
    omitted: Omissions = field(default_factory=Omissions)

    def add(self, record: Record) -> None:
        """Add a record, unless the group has become too large for the memory; count those beyond MAX_RECORDS."""
        self.end_offset = record.end_offset
        self.is_too_large = self.is_too_large or record.end_offset - self.start_offset > MAX_RECORD_BYTES
        if self.is_too_large:
            self.values.clear()
        elif len(self.values) >= MAX_RECORDS:
            self.omitted[OmittedKind.MESSAGE] += 1
        else:
            self.values.append(record.value)

    def to_record(self, title: str) -> Record:
        """Return the conversation as a record."""
        error: UnreadableError | None = RecordTooLargeError() if self.is_too_large else None
        value = {"title": title, "messages": self.values, "activities": self.values, "header": self.header}
        return Record(
            "",
            {} if error else value,
            self.end_offset,
            error,
            title=title if error else None,
            kind=self.kind,
            omitted=self.omitted,
        )


def group_messages(records: Iterator[Record], title: str) -> Iterator[Record]:
    """Yield records, with those that are single messages joined to conversations that are called `title`."""
    group: _Group | None = None
    offset = 0
    for record in records:
        kind = _group_kind(record)
        if kind is None or record.error:
            # A damaged line does not end the conversation around it.
            if group and not record.error:
                yield group.to_record(title)
                group = None
            yield record
        elif not (kind is RecordKind.GEMINI and not gemini.is_prompt(record.value)):
            if group is None or not _belongs(group, kind, record.value):
                if group:
                    yield group.to_record(title)
                group = _Group(kind, offset)
            if kind is RecordKind.SILLYTAVERN and sillytavern.is_header(record.value):
                group.header = record.value
            else:
                group.add(record)
        offset = record.end_offset
    if group:
        yield group.to_record(title)


def _group_kind(record: Record) -> RecordKind | None:
    """Return what a record is a part of; None for one that stands for itself."""
    value = record.value
    if record.array_name:
        return None
    if sillytavern.is_header(value) or sillytavern.is_message(value):
        return RecordKind.SILLYTAVERN
    if gemini.is_activity(value):
        return RecordKind.GEMINI
    return RecordKind.MESSAGES if message_lists.is_message(value) else None


def _belongs(group: _Group, kind: RecordKind, value: dict[str, Any]) -> bool:
    """Return whether a record continues the conversation of a group."""
    if group.kind is not kind or (kind is RecordKind.SILLYTAVERN and sillytavern.is_header(value)):
        return False
    return kind is not RecordKind.GEMINI or not group.values or gemini.continues(group.values[-1], value)
