"""Progress of generations, as all readers of an answer query it many times a second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select, tuple_

from chatsite.database import db, utcnow
from chatsite.models import IN_PROGRESS, Chunk, Generation, Status
from chatsite.services.chat.generations import claim_order

# Columns instead of model objects, since this is queried many times a second for all open streams.
SNAPSHOT_COLUMNS = (
    Generation.id,
    Generation.status,
    Generation.last_seq,
    Generation.token_count,
    Generation.reasoning_tokens,
    Generation.reasoning_seconds,
    Generation.tokens_per_second,
    Generation.created_at,
    Generation.first_token_at,
    Generation.finished_at,
)
MAX_CHUNKS_IN_ONE_QUERY = 20


@dataclass(frozen=True)
class GenerationSnapshot:
    """Snapshot of a generation for a reader with its chunks up to some number.

    `text` is what was added since then, up to chunk `last_seq`. `restart_seq` is 0, or the number of the chunk with
    which the text started over since then; in that case `text` replaces everything that the reader has. `reasoning` is
    what the model thinks before it answers, likewise; `reasoning_tokens` of the `token_count` are its, written in
    `reasoning_seconds`. `queue_position` counts from 1 and is None unless the generation waits. `waited_seconds` is the
    time until the first token, or until now. `tokens_per_second` is the mean since the first token.
    """

    id: int
    status: Status
    last_seq: int
    restart_seq: int
    text: str
    token_count: int
    queue_position: int | None
    waited_seconds: float
    tokens_per_second: float | None
    reasoning: str = ""
    reasoning_tokens: int = 0
    reasoning_seconds: float | None = None
    first_token_at: datetime | None = None

    @property
    def is_in_progress(self) -> bool:
        """Return whether the generation is waiting or being written."""
        return self.status in IN_PROGRESS

    @property
    def has_begun(self) -> bool:
        """Return whether there is something to be read since the chunks that the reader has."""
        return bool(self.text or self.reasoning)

    @property
    def is_provisional(self) -> bool:
        """Return whether the text is provisional: its newest chunk restarted it, and the next one may do so again."""
        return self.is_in_progress and self.text != "" and 0 < self.restart_seq == self.last_seq

    @property
    def is_thinking(self) -> bool:
        """Return whether the model has begun to think and not yet to answer."""
        return self.is_in_progress and self.reasoning != "" and self.text == ""

    def merged_with(self, earlier: GenerationSnapshot) -> GenerationSnapshot:
        """Return this snapshot with the whole text, given the snapshot that ends where this one begins."""
        if self.restart_seq:
            return self
        return replace(
            self,
            restart_seq=earlier.restart_seq,
            text=earlier.text + self.text,
            reasoning=earlier.reasoning + self.reasoning,
        )


def take_snapshots(known_seqs: Mapping[int, int]) -> list[GenerationSnapshot]:
    """Return snapshots of generations, given the number of the last chunk that the reader has of each, by id.

    Deleted generations are left out. Takes two or three queries for any number of generations, and one more for each
    that lacks more than MAX_CHUNKS_IN_ONE_QUERY chunks.
    """
    if not known_seqs:
        return []
    rows = db.session.execute(select(*SNAPSHOT_COLUMNS).where(Generation.id.in_(known_seqs))).all()
    texts = _load_chunks(
        {row.id: range(known_seqs[row.id] + 1, row.last_seq + 1) for row in rows if row.status in IN_PROGRESS}
    )
    queue_order = claim_order() if any(row.status is Status.QUEUED for row in rows) else []
    queue_positions = {generation_id: position for position, generation_id in enumerate(queue_order, start=1)}
    return [
        _snapshot_of(row, known_seqs[row.id], texts.get(row.id, []), queue_position=queue_positions.get(row.id))
        for row in rows
    ]


def _snapshot_of(
    row: Row[*tuple[Any, ...]],
    known_seq: int,
    chunks: Sequence[Row[int, int, bool, str, str]],
    *,
    queue_position: int | None,
) -> GenerationSnapshot:
    ended_at = row.finished_at or utcnow()
    tokens_per_second = row.tokens_per_second
    if row.status in IN_PROGRESS and row.first_token_at and row.token_count > 1:
        tokens_per_second = (row.token_count - 1) / max((ended_at - row.first_token_at).total_seconds(), 0.001)
    return GenerationSnapshot(
        id=row.id,
        status=row.status,
        last_seq=chunks[-1].seq if chunks else known_seq,
        restart_seq=max((chunk.seq for chunk in chunks if chunk.restarts), default=0),
        text="".join(chunk.text for chunk in chunks),
        token_count=row.token_count,
        queue_position=queue_position,
        waited_seconds=((row.first_token_at or ended_at) - row.created_at).total_seconds(),
        tokens_per_second=tokens_per_second,
        reasoning="".join(chunk.reasoning for chunk in chunks),
        reasoning_tokens=row.reasoning_tokens,
        reasoning_seconds=row.reasoning_seconds,
        first_token_at=row.first_token_at,
    )


def _load_chunks(wanted_seqs: Mapping[int, range]) -> dict[int, list[Row[int, int, bool, str, str]]]:
    """Return the chunks with the wanted numbers by generation id, in order.

    Short ranges are read in one query; each longer range takes a query of its own.
    """
    query = select(Chunk.generation_id, Chunk.seq, Chunk.restarts, Chunk.text, Chunk.reasoning)
    query = query.order_by(Chunk.generation_id, Chunk.seq)
    short_ranges = [
        (key, seq) for key, seqs in wanted_seqs.items() if len(seqs) <= MAX_CHUNKS_IN_ONE_QUERY for seq in seqs
    ]
    queries = [query.where(tuple_(Chunk.generation_id, Chunk.seq).in_(short_ranges))] if short_ranges else []
    queries += [
        query.where(Chunk.generation_id == key, Chunk.seq.between(seqs[0], seqs[-1]))
        for key, seqs in wanted_seqs.items()
        if len(seqs) > MAX_CHUNKS_IN_ONE_QUERY
    ]
    chunks: dict[int, list[Row[int, int, bool, str, str]]] = {}
    for chunk_query in queries:
        for row in db.session.execute(chunk_query):
            chunks.setdefault(row.generation_id, []).append(row)
    return chunks
