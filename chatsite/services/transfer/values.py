"""What may be taken of a value in somebody's file: a text, a moment, a number, or nothing."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from chatsite.database import now
from chatsite.errors import sentence
from chatsite.models.conversation import TITLE_CHARS

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Nobody's clock is wrong by more, and nothing was said later than that.
AHEAD = timedelta(days=1)
MOST_TEXT = 1_000_000
# Seconds since 1970 reach this in the year 5138; whoever gives more gives milliseconds.
MOST_SECONDS = 100_000_000_000
PUBLIC_ID = re.compile(r"[A-Za-z0-9_-]{16}")
UNTITLED = sentence("Untitled")
TOO_LONG = sentence("One of its messages is longer than a million characters.")
NO_CONVERSATION = sentence("This is no conversation of a format that is known here.")


class UnreadableError(Exception):
    """A record cannot be imported; its text is the sentence that says why."""


def mapping(value: object) -> Mapping[str, Any]:
    """The value if it is an object of JSON, or else an empty one."""
    return value if isinstance(value, dict) else {}


def listing(value: object) -> list[Any]:
    """The value if it is an array of JSON, or else an empty one."""
    return value if isinstance(value, list) else []


def storable(text: str) -> str:
    """The text without what no database can hold: NUL, and halves of characters."""
    if text.isascii():
        return text.replace("\0", "")
    return text.replace("\0", "").encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def written(value: object) -> str:
    """A text that somebody wrote elsewhere: no control characters, line ends as `\\n`, nothing around it.

    Raises UnreadableError when it is longer than a message may be.
    """
    text = storable(value) if isinstance(value, str) else ""
    text = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    strange = {c for c in set(text) if c not in "\n\t" and unicodedata.category(c) == "Cc"}
    return bounded(text.translate(dict.fromkeys(map(ord, strange))))


def bounded(text: str) -> str:
    """The text. Raises UnreadableError when it is longer than a message may be."""
    if len(text) > MOST_TEXT:
        raise UnreadableError(TOO_LONG)
    return text


def line(value: object, most: int) -> str | None:
    """One line of at most `most` characters; None where there is none to be seen."""
    if not isinstance(value, str):
        return None
    text = "".join(" " if unicodedata.category(c) in {"Cc", "Zl", "Zp"} else c for c in storable(value[: 4 * most]))
    return " ".join(text.split())[:most].strip() or None


def title(value: object) -> str:
    """The title of a conversation."""
    return line(value, TITLE_CHARS) or UNTITLED


def name(value: object, most: int = 180) -> str | None:
    """An id that somebody else gave; None where it cannot be kept whole."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if abs(value) < 2**63 else None
    if not isinstance(value, str) or not 0 < len(value) <= most or not value.isprintable():
        return None
    return value


def own_id(value: object) -> str | None:
    """A public id as this site makes them."""
    return value if isinstance(value, str) and PUBLIC_ID.fullmatch(value) else None


def whole(value: object, least: int, most: int) -> int | None:
    """A whole number within these bounds."""
    fits = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
    return value if fits else None  # type: ignore[return-value]


def real(value: object) -> float | None:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def moment(value: object) -> datetime | None:
    """A moment between 1970 and tomorrow, from an ISO date or from seconds or milliseconds since 1970."""
    try:
        found = _iso(value) if isinstance(value, str) else _since(value)
    except (ValueError, OverflowError):
        return None
    return min(max(found, EPOCH), now() + AHEAD) if found else None


def _iso(text: str) -> datetime:
    found = datetime.fromisoformat(text[:40].strip())
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def _since(value: object) -> datetime | None:
    number = real(value)
    if number is None:
        return None
    return EPOCH + timedelta(seconds=number if abs(number) < MOST_SECONDS else number / 1000)
