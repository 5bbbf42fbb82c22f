"""The records of an uploaded file: what each of them is, and the result that is stored for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import structlog

from chatsite.database import WriteSession
from chatsite.errors import (
    BeyondLimitError,
    ChatsiteError,
    ImportBrokenError,
    InstructionsCutError,
    UnreadableError,
    gettext_noop,
)
from chatsite.models import ImportOutcome
from chatsite.services.transfer import import_tags, omissions
from chatsite.services.transfer.coercion import UNTITLED, parse_datetime, single_line
from chatsite.services.transfer.formats import detect, native
from chatsite.services.transfer.import_merge import ExistingConversation, MergeResult
from chatsite.services.transfer.message_ordering import ImportedConversation
from chatsite.services.transfer.omissions import Omissions, OmittedKind
from chatsite.services.transfer.records import Record

log = structlog.get_logger()

# The number of a record in its file, its title, and its conversation or the reason why there is none.
PendingRecord = tuple[int, str, ImportedConversation | ChatsiteError]
# How much of the records of an array was not stored, by the error that says it.
LeftOut = Counter[type[UnreadableError]]


def parse_record(record: Record) -> tuple[ImportedConversation | ChatsiteError, str]:
    """Return the conversation in a record, or the reason why it cannot be imported, with the title."""
    try:
        conversation = detect.parse_record(record)
    except UnreadableError as problem:
        return problem, detect.record_title(record) or UNTITLED
    except Exception as problem:
        # One unexpected record must not end the import of all others.
        log.error("record_broke", error=type(problem).__name__)
        return ImportBrokenError(), detect.record_title(record) or UNTITLED
    return conversation, conversation.title


def outcome_note(
    record: PendingRecord, stored: Mapping[str, ExistingConversation], merged: MergeResult | None
) -> dict[str, Any]:
    """Return the columns of the import result of a record.

    `stored` has its conversation by import source id, and `merged` what was added to it; None if it is new.
    """
    seq, title, parsed = record
    note: dict[str, Any] = {"seq": seq, "title": title, "conversation_id": None, "reason": None, "message_count": 0}
    if isinstance(parsed, ChatsiteError):
        return {**note, "outcome": ImportOutcome.SKIPPED, "reason": parsed, "omitted": None}
    note["conversation_id"] = stored[parsed.import_source_id].id
    if merged is None:
        omitted = omissions.to_json(parsed.omitted + Omissions({OmittedKind.TAG: parsed.omitted_tags}))
        return {
            **note,
            "outcome": ImportOutcome.IMPORTED,
            "message_count": len(parsed.messages),
            "omitted": omitted,
        }
    between = Omissions({OmittedKind.BETWEEN: merged.between})
    if merged.added:
        omitted = omissions.to_json(parsed.omitted + between)
        return {**note, "outcome": ImportOutcome.UPDATED, "message_count": merged.added, "omitted": omitted}
    return {**note, "outcome": ImportOutcome.DUPLICATE, "omitted": omissions.to_json(between)}


def left_out_records(left_out: Mapping[str, LeftOut], end_offset: int) -> Iterator[Record]:
    """Yield a record for each reason why tags or personas were not stored as they are; takes the counts by array."""
    for array_name, counts in left_out.items():
        for error_type, count in counts.items():
            yield Record("", {}, end_offset, error_type(count=count), title=_TITLES[array_name])


def _add_tag(tx: WriteSession, user_id: int, record: Record) -> LeftOut:
    name = single_line(record.value.get("name"), 40)
    if name is None:
        return LeftOut()
    created_at = parse_datetime(record.value.get("created_at"))
    is_stored = import_tags.ensure_tag(tx, user_id, name, color=record.value.get("color"), created_at=created_at)
    return LeftOut() if is_stored else LeftOut({BeyondLimitError: 1})


def _add_persona(tx: WriteSession, user_id: int, record: Record) -> LeftOut:
    omitted = Omissions(record.omitted)
    values = native.parse_persona(record.value, omitted)
    if values is None:
        return LeftOut()
    created_at = parse_datetime(record.value.get("created_at"))
    if not import_tags.ensure_persona(tx, user_id, values, created_at=created_at):
        return LeftOut({BeyondLimitError: 1})
    return +LeftOut({InstructionsCutError: omitted[OmittedKind.INSTRUCTIONS]})


# An import that begins anew hands them the same records again: what is stored already stays as it is.
RECORD_HANDLERS = {"tags": _add_tag, "personas": _add_persona}
_TITLES = {"tags": gettext_noop("Tags"), "personas": gettext_noop("Personas")}
