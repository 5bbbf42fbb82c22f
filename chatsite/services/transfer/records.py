"""Records: the objects of an uploaded file, one for each conversation."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any

from chatsite.errors import UnreadableError
from chatsite.services.transfer.omissions import Omissions


class RecordKind(enum.StrEnum):
    """What a record is that was made of a whole file, or of several records of it."""

    NOTE = "note"
    MESSAGES = "messages"
    SILLYTAVERN = "sillytavern"
    GEMINI = "gemini"


@dataclass(frozen=True)
class Record:
    """An object of the file, or the `error` why it cannot be read.

    `array_name` is the key of its array in this site's own format, and empty in all others. `end_offset` is the number
    of bytes of the file up to its end, and `title` the likely title of a record with an error. An object that is in the
    file as it is has no `kind`. `omitted` counts what was left out of it before it became a record.
    """

    array_name: str
    value: dict[str, Any]
    end_offset: int
    error: UnreadableError | None = None
    title: str | None = None
    kind: RecordKind | None = None
    omitted: Omissions = field(default_factory=Omissions)
