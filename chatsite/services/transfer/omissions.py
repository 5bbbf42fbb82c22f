"""What an import leaves out of a conversation, by kind, so that its report can say so."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Mapping, Sequence

from chatsite.errors import NothingWrittenError, UnknownContentError

MAX_COUNT = 10**9


class OmittedKind(enum.StrEnum):
    """Kind of content that does not come in. The first three are named in the text of their message."""

    IMAGE = "image"
    FILE = "file"
    RECORDING = "recording"
    TOOL_CALL = "tool_call"
    THOUGHTS = "thoughts"
    HIDDEN = "hidden"
    SUMMARY = "summary"
    UNKNOWN = "unknown"
    # What is beyond a limit of this site; of the last three so many characters.
    MESSAGE = "message"
    VERSION = "version"
    TAG = "tag"
    SOURCE = "source"
    INSTRUCTIONS = "instructions"
    RATING_NOTE = "rating_note"
    REASONING = "reasoning"
    # Messages of a conversation that is here already, between two of its messages.
    BETWEEN = "between"


Omissions = Counter[OmittedKind]


def shorten(text: str, max_chars: int, omitted: Omissions, *, kind: OmittedKind) -> str:
    """Return the first `max_chars` characters of a text, and count the others in `omitted`."""
    omitted[kind] += max(len(text) - max_chars, 0)
    return text[:max_chars]


def require_messages(messages: Sequence[object], omitted: Mapping[OmittedKind, int]) -> None:
    """Raise UnknownContentError or NothingWrittenError, whichever is true, if a conversation has no messages."""
    if not messages:
        raise UnknownContentError if omitted.get(OmittedKind.UNKNOWN) else NothingWrittenError


def to_json(omitted: Mapping[OmittedKind, int]) -> dict[str, int] | None:
    """Return the counts as they are stored: at most one number for each kind; None if nothing was left out."""
    return {kind.value: min(omitted[kind], MAX_COUNT) for kind in OmittedKind if omitted.get(kind)} or None
