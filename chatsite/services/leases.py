"""Leases: how runners claim work, so that another runner continues it when one dies.

Three kinds of work are leased: generations (`services.chat.generation_leases`), imports
(`services.transfer.import_leases`) and downloads of models (`services.models.status`). Their functions have the same
names, and this module has what they share:

- `has_work`: return whether there may be something to claim;
- `claim`: take work for some seconds;
- `heartbeat`: store the progress and renew the lease;
- `release`: hand back unfinished work, so that the next runner continues at once;
- `finish`: end the work, with or without an error;
- `reap`: put back, or end, the work of dead runners.

A lease ends by one clock for all: the clock of the database server, or on SQLite that of the only host. Whatever the
clocks of the runners say, none of them is taken for dead by another's clock. An owner never reaps its own work: it may
have been stopped for longer than its lease, and is alive nevertheless.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Interval, Select, func, literal, select, type_coerce
from sqlalchemy.orm import InstrumentedAttribute

from chatsite.database import UTCDateTime, db, utcnow
from chatsite.models import Generation, Import

AnySelect = TypeVar("AnySelect", bound=Select[*tuple[Any, ...]])


class LeaseLostError(Exception):
    """The runner does not hold the work any more: its lease expired, or the work was canceled."""


def current_time() -> ColumnElement[datetime]:
    """Return the time in UTC as an SQL expression, by the clock that all owners of leases share.

    On PostgreSQL that is the server's, and the same moment in all of a transaction.
    """
    if db.engine.dialect.name == "postgresql":
        return func.timezone("utc", func.now(), type_=UTCDateTime())
    return literal(utcnow(), UTCDateTime())


def read_time() -> datetime:
    """Return the time in UTC by the clock that all hosts share, as a value; on PostgreSQL that is a query."""
    if db.engine.dialect.name == "postgresql":
        return db.session.scalars(select(current_time())).one()
    return utcnow()


def measure_clock_offset() -> float | None:
    """Return by how many seconds this machine's clock is ahead of the database server's; None without a server."""
    if db.engine.dialect.name != "postgresql":
        return None
    db.session.rollback()
    before = utcnow()
    server_time = read_time()
    after = utcnow()
    db.session.rollback()
    return (before + (after - before) / 2 - server_time).total_seconds()


def lease_end(seconds: float) -> ColumnElement[datetime]:
    """Return the moment at which a lease of `seconds` seconds ends that is given or renewed now, as SQL."""
    if db.engine.dialect.name == "postgresql":
        return type_coerce(current_time() + literal(timedelta(seconds=seconds), Interval()), UTCDateTime())
    return literal(utcnow() + timedelta(seconds=seconds), UTCDateTime())


def has_expired(column: InstrumentedAttribute[Any], seconds: float = 0) -> ColumnElement[bool]:
    """Return the SQL condition that the time in `column` is more than `seconds` seconds ago.

    `column` is the end of a lease, or the time of the last heartbeat.
    """
    return column < lease_end(-seconds)


def is_overlong(column: InstrumentedAttribute[Any], seconds: float) -> ColumnElement[bool]:
    """Return the SQL condition that the time in `column` is more than `seconds` seconds ahead.

    No lease of `seconds` seconds can end then: the clock was ahead when it was given, and was set back.
    """
    return column > lease_end(seconds)


def is_held(
    work: type[Generation] | type[Import], running: ColumnElement[bool], owner: str, *, attempt: int | None = None
) -> ColumnElement[bool]:
    """Return the SQL condition that a row of `work` meets `running` and is leased by `owner`.

    With `attempt` the lease must also be of that attempt: a runner that claimed the same work twice holds only the last
    claim.
    """
    held = running & (work.lease_owner == owner)
    return held if attempt is None else held & (work.attempts == attempt)


def lock_rows(query: AnySelect) -> AnySelect:
    """Add a row lock to `query` that skips rows locked by others and refreshes rows that the session has already."""
    return query.with_for_update(skip_locked=True).execution_options(populate_existing=True)
