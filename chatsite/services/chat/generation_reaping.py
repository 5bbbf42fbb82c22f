"""Reaping of the generations of dead runners, and the search for the one that killed them.

A generation may kill whatever writes it: a prompt that exhausts the memory, a damaged model. A runner writes many
answers at once, and its death says nothing against most of them. So a death counts against a generation
(`crash_count`) only when it was the only one that the runner held, or the only suspect among them. A
generation that had SUSPECT_ATTEMPTS attempts without an end is a suspect; a runner holds at most one at a time, so that
the next death tells the cause from the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, select

from chatsite.database import WriteSession, db
from chatsite.models import Generation, Status
from chatsite.services import leases
from chatsite.services.chat import generations

SUSPECT_ATTEMPTS = 2
RUNNING = Generation.status == Status.GENERATING


def has_expired_lease() -> ColumnElement[bool]:
    """Return the SQL condition that a generation is held under a lease that has expired."""
    return RUNNING & leases.has_expired(Generation.lease_until)


def has_abandoned(lease_seconds: float) -> bool:
    """Return whether a generation may have been abandoned: its lease has expired, or is longer than one can be."""
    is_abandoned = has_expired_lease() | (RUNNING & leases.is_overlong(Generation.lease_until, lease_seconds))
    return db.session.scalar(select(Generation.id).where(is_abandoned).limit(1)) is not None


def reap(tx: WriteSession, max_crashes: int, lease_owner: str) -> None:
    """Queue the generations of dead runners again; the caller's own (`lease_owner`) are left out.

    A generation that `max_crashes` deaths are put down to ends as interrupted, and one with a stop request as stopped.
    """
    dead_owners = select(Generation.lease_owner).where(
        has_expired_lease(), Generation.lease_owner.is_distinct_from(lease_owner)
    )
    # All leases of a runner are renewed together: one that has expired says that its owner is dead.
    abandoned = select(Generation).where(RUNNING, Generation.lease_owner.in_(dead_owners))
    rows = tx.scalars(leases.lock_rows(abandoned)).all()
    for generation in _find_causes(rows):
        generation.crash_count += 1
    for generation in rows:
        if generation.cancel_requested:
            _finish(tx, generation, Status.STOPPED, reason="cancelled")
        elif generation.crash_count >= max_crashes:
            _finish(tx, generation, Status.INTERRUPTED, reason="crashed")
        else:
            generation.status, generation.lease_owner, generation.lease_until = Status.QUEUED, None, None
    tx.flush()


@dataclass(frozen=True)
class Suspects:
    """The waiting suspects, and whether a runner may hold one more of them: it holds one at most."""

    ids: frozenset[int]
    may_take_one: bool


def find_suspects(lease_owner: str) -> Suspects:
    """Return the suspects that wait, and whether the runner `lease_owner` may claim one."""
    waiting = select(Generation.id).where(Generation.status == Status.QUEUED, Generation.attempts >= SUSPECT_ATTEMPTS)
    ids = frozenset(db.session.scalars(waiting))
    if not ids:
        return Suspects(ids, True)
    held = select(Generation.id).where(
        leases.is_held(Generation, RUNNING, lease_owner), Generation.attempts > SUSPECT_ATTEMPTS
    )
    return Suspects(ids, db.session.scalar(held.limit(1)) is None)


def _find_causes(abandoned: Sequence[Generation]) -> list[Generation]:
    """Return the generations to which the deaths of their runners are put down, at most one for each runner."""
    causes = []
    for owner in {generation.lease_owner for generation in abandoned}:
        held = [generation for generation in abandoned if generation.lease_owner == owner]
        suspects = [generation for generation in held if generation.attempts > SUSPECT_ATTEMPTS]
        if len(held) == 1 or len(suspects) == 1:
            causes += suspects or held
    return causes


def _finish(tx: WriteSession, generation: Generation, status: Status, *, reason: str) -> None:
    tx.flush()
    generations.finish(tx, generation, status, finish_reason=reason)
