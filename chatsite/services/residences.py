"""What runners write down of models: how a pull goes, what is here, what is in memory. Only runners call this."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select, update

from chatsite.database import db, now, write
from chatsite.engine import Residence
from chatsite.models import Model, ModelState, Wish


@dataclass(frozen=True)
class Seen:
    """Where the weights of a model are, and how far its pull is."""

    state: ModelState
    bytes_done: int | None = None
    bytes_total: int | None = None
    bytes_per_second: float | None = None
    reason: str | None = None
    revision: str | None = None


def states() -> dict[str, ModelState]:
    """The states that were last written down, by the models' names."""
    return {row.name: row.state for row in db.session.execute(select(Model.name, Model.state))}


def stalled(seconds: float) -> list[str]:
    """The models whose pull nobody has said anything of for so long."""
    going = Model.state.in_([ModelState.FETCHING, ModelState.CONVERTING])
    return list(db.session.scalars(select(Model.name).where(going, Model.seen_at < now() - timedelta(seconds=seconds))))


def wishes() -> dict[str, Wish]:
    """What the site's owner wishes, by the models' names."""
    rows = db.session.execute(select(Model.name, Model.wish).where(Model.wish.is_not(None)))
    return {name: wish for name, wish in rows if wish}


def take(name: str, wish: Wish) -> bool:
    """Clear a wish in order to obey it; False when another runner was first, or it was taken back."""
    with write() as session:
        mine = update(Model).where(Model.name == name, Model.wish == wish).values(wish=None)
        return bool(session.execute(mine).rowcount)  # type: ignore[attr-defined]


def record(name: str, seen: Seen) -> None:
    """Write down where the weights of a model are."""
    with write() as session:
        row = session.get(Model, name) or Model(name=name)
        for field, value in vars(seen).items():
            setattr(row, field, value)
        row.seen_at = now()
        session.add(row)


def reside(residences: Collection[Residence]) -> None:
    """Write down which models are in memory or on their way there; the others no longer are."""
    named = {each.model: each for each in residences}
    with write() as session:
        rows = {row.name: row for row in session.scalars(select(Model))}
        for name in named.keys() - rows.keys():
            rows[name] = Model(name=name)
            session.add(rows[name])
        for name, row in rows.items():
            _settle(row, named.get(name))


def _settle(row: Model, found: Residence | None) -> None:
    row.loaded = found is not None and found.loaded
    row.loading = found is not None and not found.loaded and found.reason is None
    if found and found.loaded:
        row.memory_bytes = found.memory or None
        row.tokens_per_second = found.tokens_per_second or None
        row.precision = found.precision or None
        row.batched = found.batched
    if found and found.reason:
        row.state, row.reason = ModelState.FAILED, found.reason
    row.seen_at = now()
