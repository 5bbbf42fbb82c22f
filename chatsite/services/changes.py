"""How generations stand: what everybody who watches one asks many times a second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Row, select, tuple_

from chatsite.database import db, now
from chatsite.models import ACTIVE, Chunk, Generation, Status
from chatsite.services.generations import fair_order

# Columns and no objects: this is asked many times a second, of all that anybody watches.
FOLLOWED = (
    Generation.id,
    Generation.status,
    Generation.seq,
    Generation.tokens,
    Generation.tokens_per_second,
    Generation.created_at,
    Generation.first_token_at,
    Generation.finished_at,
)
FEW_CHUNKS = 20


@dataclass(frozen=True)
class Change:
    """How a generation stands: `text` is what was written after the chunk that was known, up to chunk `seq`.

    Where it began anew since then, `origin` is the number of the chunk that all of its text begins with; otherwise it
    is 0 and the text adds to what is known. `position` counts from 1 while it waits; `tokens_per_second` is the mean
    since the first token.
    """

    id: int
    status: Status
    seq: int
    origin: int
    text: str
    tokens: int
    position: int | None
    waited: float
    tokens_per_second: float | None

    @property
    def active(self) -> bool:
        """Whether it still waits or writes."""
        return self.status in ACTIVE

    @property
    def draft(self) -> bool:
        """Whether there is a text that is not decided yet: its newest chunk began anew, and so may the next one."""
        return self.active and self.text != "" and 0 < self.origin == self.seq

    def after(self, before: Change) -> Change:
        """This change with all of the text, given the state before that this one was asked after."""
        if self.origin:
            return self
        return replace(self, origin=before.origin, text=before.text + self.text)


def follow(known: Mapping[int, int]) -> list[Change]:
    """How some generations stand, given the number of the last chunk already known of each. Deleted ones are missing.

    Two or three queries whatever the number of generations.
    """
    if not known:
        return []
    rows = db.session.execute(select(*FOLLOWED).where(Generation.id.in_(known))).all()
    texts = _chunks({row.id: range(known[row.id] + 1, row.seq + 1) for row in rows if row.status in ACTIVE})
    waiting = fair_order() if any(row.status is Status.QUEUED for row in rows) else []
    places = {generation_id: place for place, generation_id in enumerate(waiting, start=1)}
    return [_change(row, known[row.id], texts.get(row.id, []), places.get(row.id)) for row in rows]


def _change(
    row: Row[*tuple[Any, ...]], known_seq: int, chunks: Sequence[Row[int, int, bool, str]], position: int | None
) -> Change:
    end = row.finished_at or now()
    speed = row.tokens_per_second
    if row.status in ACTIVE and row.first_token_at and row.tokens > 1:
        speed = (row.tokens - 1) / max((end - row.first_token_at).total_seconds(), 0.001)
    return Change(
        id=row.id,
        status=row.status,
        seq=chunks[-1].seq if chunks else known_seq,
        origin=max((chunk.seq for chunk in chunks if chunk.fresh), default=0),
        text="".join(chunk.text for chunk in chunks),
        tokens=row.tokens,
        position=position,
        waited=((row.first_token_at or end) - row.created_at).total_seconds(),
        tokens_per_second=speed,
    )


def _chunks(wanted: Mapping[int, range]) -> dict[int, list[Row[int, int, bool, str]]]:
    """The chunks of those numbers by generation, in order: where few are wanted in one query, else in one for each."""
    query = select(Chunk.generation_id, Chunk.seq, Chunk.fresh, Chunk.text).order_by(Chunk.generation_id, Chunk.seq)
    few = [(key, seq) for key, seqs in wanted.items() if len(seqs) <= FEW_CHUNKS for seq in seqs]
    queries = [query.where(tuple_(Chunk.generation_id, Chunk.seq).in_(few))] if few else []
    queries += [
        query.where(Chunk.generation_id == key, Chunk.seq.between(seqs[0], seqs[-1]))
        for key, seqs in wanted.items()
        if len(seqs) > FEW_CHUNKS
    ]
    found: dict[int, list[Row[int, int, bool, str]]] = {}
    for asked in queries:
        for row in db.session.execute(asked):
            found.setdefault(row.generation_id, []).append(row)
    return found
