"""Keyset paging: a page starts after the last row of the page before, so that its cost is always the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

from chatsite.errors import NotFoundError

T = TypeVar("T")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some rows, and the cursor of the page after them (None at the end)."""

    items: Sequence[T]
    next: str | None = None


def cursor(moment: datetime, row_id: int) -> str:
    """The place of a row in a list ordered by moment and row number: microseconds, a dot, the row number."""
    microseconds = (moment - EPOCH) // (EPOCH.resolution)
    return f"{microseconds}.{row_id}"


def parse_cursor(text: str) -> tuple[datetime, int]:
    """The moment and the row number in a cursor. Raises NotFoundError for a text that is no cursor."""
    first, _, second = text.partition(".")
    try:
        if not (first.isascii() and second.isascii() and first.isdecimal() and second.isdecimal() and len(second) < 19):
            raise ValueError(text)
        return EPOCH + int(first) * EPOCH.resolution, int(second)
    except (ValueError, OverflowError):
        raise NotFoundError from None
