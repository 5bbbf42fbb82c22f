"""The site's own format, which loses nothing: JSON with a line for each conversation and each message.

`docs/export-format.md` describes it. The same rows always make the same bytes: there is no moment of the export in it,
and the order is that of the database.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from chatsite.services.transfer import reading
from chatsite.services.transfer.reading import Head, Line

FORMAT = "chatsite-export"
VERSION = 1


def export(user_id: int, only: int | None = None) -> Iterator[str]:
    """Everything of a user, or one conversation, in pieces of a few kilobytes."""
    yield f'{{"format": "{FORMAT}", "version": {VERSION}'
    yield ',\n"tags": ' + _array([dict(row._mapping) for row in reading.tags(user_id, only)])
    yield ',\n"personas": ' + _array([dict(row._mapping) for row in reading.personas(user_id)] if only is None else [])
    yield ',\n"conversations": ['
    comma = "\n"
    for head in reading.heads(user_id, only):
        yield comma + _json(_head(head))[:-1] + ', "messages": ['
        yield from _messages(head.row.id)
        yield "]}"
        comma = ",\n"
    yield "\n]}\n"


def _messages(conversation_id: int) -> Iterator[str]:
    comma = "\n"
    for line in reading.lines(conversation_id):
        yield comma + _json(_line(line))
        comma = ",\n"


def _head(head: Head) -> dict[str, Any]:
    """A conversation. Its first two members tell it from everything else in the file."""
    values = dict(head.row._mapping)
    del values["id"]
    return {"id": values.pop("public_id"), "origin": values.pop("origin"), **values, "tags": list(head.tags)}


def _line(line: Line) -> dict[str, Any]:
    row = line.row
    return {
        "id": row.public_id,
        "parent": row.parent,
        "shown": row.shown,
        "comparing": row.comparing,
        "role": row.role.value,
        "text": row.text,
        "created_at": row.created_at,
        "origin": row.origin,
        "generations": [_run(values) for values in line.runs],
    }


def _run(values: Mapping[str, Any]) -> dict[str, Any]:
    return {**values, "status": values["status"].value}


def _array(rows: list[dict[str, Any]]) -> str:
    return "[" + ",".join("\n" + _json(row) for row in rows) + "]"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=_moment)


def _moment(value: object) -> str:
    if not isinstance(value, datetime):
        raise TypeError(value)
    return value.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
