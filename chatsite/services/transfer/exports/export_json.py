"""Export in the site's own format, which loses nothing: JSON with one line for each conversation and each message.

`docs/export-format.md` describes it. The same rows always give the same bytes: the file does not contain the time of
the export, and is in the order of the database.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from chatsite.services.transfer.exports import export_queries
from chatsite.services.transfer.exports.export_rows import ConversationRow, MessageRow, ReasoningRow

FORMAT = "chatsite-export"
VERSION = 1


def export(user_id: int, conversation_id: int | None = None) -> Iterator[str]:
    """Yield everything of a user, or one conversation, as JSON in pieces of a few kilobytes."""
    yield f'{{"format": "{FORMAT}", "version": {VERSION}'
    yield ',\n"tags": ' + _json_array(
        [dict(row._mapping) for row in export_queries.list_tags(user_id, conversation_id)]
    )
    yield ',\n"personas": ' + _json_array(
        [dict(row._mapping) for row in export_queries.list_personas(user_id)] if conversation_id is None else []
    )
    yield ',\n"conversations": ['
    comma = "\n"
    for conversation in export_queries.iter_conversations(user_id, conversation_id):
        yield comma + _to_json(_conversation_json(conversation))[:-1] + ', "messages": ['
        yield from _iter_message_lines(conversation.row.id)
        yield "]}"
        comma = ",\n"
    yield "\n]}\n"


def _iter_message_lines(conversation_id: int) -> Iterator[str]:
    comma = "\n"
    for line in export_queries.iter_messages(conversation_id):
        yield comma + _to_json(_message_json(line))
        comma = ",\n"


def _conversation_json(conversation: ConversationRow) -> dict[str, Any]:
    """Return a conversation without its messages.

    Its first two keys, `id` and `origin`, distinguish it from all other objects in the file.
    """
    values = dict(conversation.row._mapping)
    del values["id"]
    return {"id": values.pop("public_id"), "origin": values.pop("origin"), **values, "tags": list(conversation.tags)}


def _message_json(message: MessageRow) -> dict[str, Any]:
    row, reasoning = message.row, message.reasoning
    # Only where there is some, so that files without reasoning are what they were before there was any.
    added = {"reasoning": _reasoning_json(reasoning)} if reasoning else {}
    return {
        "id": row.public_id,
        "parent": row.parent,
        "shown": row.shown,
        "comparing": row.comparing,
        "role": row.role.value,
        "text": message.text,
        **added,
        "created_at": row.created_at,
        "origin": row.origin,
        "generations": [_generation_json(values) for values in message.generations],
    }


def _reasoning_json(reasoning: ReasoningRow) -> dict[str, Any]:
    return {"text": reasoning.text, "tokens": reasoning.token_count, "seconds": reasoning.seconds}


def _generation_json(values: Mapping[str, Any]) -> dict[str, Any]:
    # The format contains messages in English; error codes and parameters are internal to this site.
    error = None if values["error"] is None else str(values["error"])
    return {**values, "status": values["status"].value, "error": error}


def _json_array(rows: list[dict[str, Any]]) -> str:
    return "[" + ",".join("\n" + _to_json(row) for row in rows) + "]"


def _to_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=_format_datetime)


def _format_datetime(value: object) -> str:
    if not isinstance(value, datetime):
        raise TypeError(value)
    return value.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
