"""Keyset paging: a page starts after the last row of the page before, so that each page costs the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import Select, literal, tuple_
from sqlalchemy.orm import InstrumentedAttribute

from chatsite.database import UTCDateTime, db
from chatsite.errors import NotFoundError

T = TypeVar("T")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Databases limit the number of parameters of one statement.
BATCH_SIZE = 500


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page of a list, and the cursor of the next page (None on the last page)."""

    items: Sequence[T]
    next: str | None = None


def encode_cursor(sorted_at: datetime, row_id: int) -> str:
    """Return the cursor of a row in a list sorted by time and row id: microseconds since 1970, a dot, the row id."""
    microseconds = (sorted_at - EPOCH) // (EPOCH.resolution)
    return f"{microseconds}.{row_id}"


def decode_cursor(text: str) -> tuple[datetime, int]:
    """Return the time and the row id of a cursor. Raises NotFoundError for a text that is no cursor."""
    first, _, second = text.partition(".")
    try:
        if not (first.isascii() and second.isascii() and first.isdecimal() and second.isdecimal() and len(second) < 19):
            raise ValueError(text)
        return EPOCH + int(first) * EPOCH.resolution, int(second)
    except (ValueError, OverflowError):
        raise NotFoundError from None


def page_by_time(
    query: Select[T],
    time_column: InstrumentedAttribute[Any],
    id_column: InstrumentedAttribute[int],
    *,
    before: str | None,
    size: int,
) -> Page[T]:
    """Return the page of at most `size` rows of `query` that follows `before`, sorted by time and row id, descending.

    `time_column` and `id_column` are columns of the rows, and an index has to hold both in this order. `before` is the
    `next` of the page before, None for the first page. Raises NotFoundError if `before` is not a cursor.
    """
    if before:
        first, second = decode_cursor(before)
        query = query.where(tuple_(time_column, id_column) < tuple_(literal(first, UTCDateTime()), literal(second)))
    rows = db.session.scalars(query.order_by(time_column.desc(), id_column.desc()).limit(size + 1)).all()
    last = rows[size - 1] if len(rows) > size else None
    return Page(
        rows[:size], encode_cursor(getattr(last, time_column.key), getattr(last, id_column.key)) if last else None
    )


def iter_batches(rows: Sequence[T], size: int = BATCH_SIZE) -> Iterator[Sequence[T]]:
    """Yield `rows` in slices of at most `size`, few enough for the parameters of one SQL statement."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
