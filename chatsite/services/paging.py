"""Keyset paging: a page starts after the last row of the page before, so that its cost is always the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import Select, literal, tuple_
from sqlalchemy.orm import InstrumentedAttribute

from chatsite.database import Moment, db
from chatsite.errors import NotFoundError

T = TypeVar("T")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Databases bound how many values one statement has.
BATCH = 500


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


def newest(
    query: Select[T],
    moment: InstrumentedAttribute[Any],
    row_id: InstrumentedAttribute[int],
    before: str | None,
    size: int,
) -> Page[T]:
    """The first `size` rows of a query by moment and then by row number, both the greatest first.

    The rows have both as attributes, and an index has them in that order. `before` is the `next` of the page before.
    Raises NotFoundError when it is not a cursor.
    """
    if before:
        first, second = parse_cursor(before)
        query = query.where(tuple_(moment, row_id) < tuple_(literal(first, Moment()), literal(second)))
    rows = db.session.scalars(query.order_by(moment.desc(), row_id.desc()).limit(size + 1)).all()
    last = rows[size - 1] if len(rows) > size else None
    return Page(rows[:size], cursor(getattr(last, moment.key), getattr(last, row_id.key)) if last else None)


def batches(rows: Sequence[T], size: int = BATCH) -> Iterator[Sequence[T]]:
    """The rows in pieces that a statement can take."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
