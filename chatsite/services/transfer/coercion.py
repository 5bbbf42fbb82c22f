"""Coercion of untrusted JSON values to texts, times, numbers and ids that the database can hold."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from chatsite.database import utcnow
from chatsite.errors import MessageTooLargeError, gettext_noop
from chatsite.models.conversation import MAX_TITLE_CHARS
from chatsite.services.chat.chat_settings import MAX_INSTRUCTIONS_CHARS
from chatsite.services.transfer.omissions import Omissions, OmittedKind, shorten

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A time that lies further in the future is wrong, and would keep its conversation on top of all lists.
MAX_CLOCK_SKEW = timedelta(days=1)
MAX_MESSAGE_CHARS = 1_000_000
# Seconds since 1970 reach this in the year 5138; larger numbers are milliseconds.
MAX_UNIX_SECONDS = 100_000_000_000
PUBLIC_ID_PATTERN = re.compile(r"[A-Za-z0-9_-]{16}")
UNTITLED = gettext_noop("Untitled")


def as_dict(value: object) -> Mapping[str, Any]:
    """Return the value if it is a JSON object, or else an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    """Return the value if it is a JSON array, or else an empty one."""
    return value if isinstance(value, list) else []


def strip_invalid_chars(text: str) -> str:
    """Return the text without NUL, and with lone surrogates replaced: no database can hold them."""
    if text.isascii():
        return text.replace("\0", "")
    return text.replace("\0", "").encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def clean_message_text(value: object) -> str:
    """Return an imported message stripped, without control characters, with `\\n` as line end; empty if it is no text.

    Raises MessageTooLargeError if it has more than MAX_MESSAGE_CHARS characters.
    """
    text = strip_invalid_chars(value) if isinstance(value, str) else ""
    text = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    control_chars = {c for c in set(text) if c not in "\n\t" and unicodedata.category(c) == "Cc"}
    return limit_length(text.translate(dict.fromkeys(map(ord, control_chars))))


def parse_instructions(value: object, omitted: Omissions) -> str | None:
    """Return instructions from another site, shortened to what this site allows; None if there are none.

    Counts in `omitted` the characters that are cut off.
    """
    text = strip_invalid_chars(value).strip() if isinstance(value, str) else ""
    return shorten(text, MAX_INSTRUCTIONS_CHARS, omitted, kind=OmittedKind.INSTRUCTIONS) or None


def limit_length(text: str) -> str:
    """Return the text unchanged. Raises MessageTooLargeError if it has more than MAX_MESSAGE_CHARS characters."""
    if len(text) > MAX_MESSAGE_CHARS:
        raise MessageTooLargeError
    return text


def single_line(value: object, max_chars: int) -> str | None:
    """Return a text as one line of at most `max_chars` characters; None if nothing visible is left or it is no text."""
    if not isinstance(value, str):
        return None
    text = "".join(
        " " if unicodedata.category(c) in {"Cc", "Zl", "Zp"} else c for c in strip_invalid_chars(value[: 4 * max_chars])
    )
    return " ".join(text.split())[:max_chars].strip() or None


def conversation_title(value: object) -> str:
    """Return the title of a conversation, shortened to MAX_TITLE_CHARS; UNTITLED if the value has no visible text."""
    return single_line(value, MAX_TITLE_CHARS) or UNTITLED


def external_id(value: object, max_chars: int = 180) -> str | None:
    """Return an id from another site, a text or a number, as text; None if it cannot be stored whole."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if abs(value) < 2**63 else None
    if not isinstance(value, str) or not 0 < len(value) <= max_chars or not value.isprintable():
        return None
    return value


def as_public_id(value: object) -> str | None:
    """Return the value if it has the form of a public id of this site, or else None."""
    return value if isinstance(value, str) and PUBLIC_ID_PATTERN.fullmatch(value) else None


def as_int(value: object, minimum: int, maximum: int) -> int | None:
    """Return the value if it is a whole number from `minimum` to `maximum`, or else None."""
    is_within = isinstance(value, int) and not isinstance(value, bool) and minimum <= value <= maximum
    return value if is_within else None  # type: ignore[return-value]


def as_float(value: object) -> float | None:
    """Return the value as a float if it is a finite number, or else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def parse_datetime(value: object) -> datetime | None:
    """Return a time from an ISO date, or from seconds or milliseconds since 1970; None if the value is neither.

    The result is moved into the range from 1970 to tomorrow.
    """
    try:
        parsed = _parse_iso(value) if isinstance(value, str) else _from_unix_time(value)
    except (ValueError, OverflowError):
        return None
    return min(max(parsed, EPOCH), utcnow() + MAX_CLOCK_SKEW) if parsed else None


def _parse_iso(text: str) -> datetime:
    parsed = datetime.fromisoformat(text[:40].strip())
    return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _from_unix_time(value: object) -> datetime | None:
    number = as_float(value)
    if number is None:
        return None
    return EPOCH + timedelta(seconds=number if abs(number) < MAX_UNIX_SECONDS else number / 1000)
