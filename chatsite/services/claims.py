"""What runners do with generations: claim them with a lease, write at them, hand them back.

All writes of a runner name the owner and the attempt they were claimed under. A runner that was taken for dead, and
whose work somebody else claimed, changes nothing any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, insert, select, update

from chatsite.database import db, now, write
from chatsite.engine import Turn
from chatsite.models import Chunk, Generation, Message, Status
from chatsite.services import branches, generations

# More turns than any prompt holds; reading all of a very long conversation would make its answers slow.
MOST_TURNS = 400


@dataclass(frozen=True)
class Claim:
    """A generation that a runner took up: what to answer to, and what is written already (`prefix`).

    `tokens` is how many of its tokens this generation had under earlier attempts, and `seed` what those drew with.
    `model` and `preset` say who answers and how; None leaves either to the engine. `instructions` is what the model is
    told before all turns, line by line, and `numbers` are the options that were set by hand.
    """

    generation_id: int
    attempt: int
    turns: tuple[Turn, ...]
    prefix: str
    tokens: int
    seed: int | None
    model: str | None = None
    preset: str | None = None
    instructions: tuple[str, ...] = ()
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass
class Written:
    """What a runner has to say of one generation since it last wrote: all of it may be empty.

    A `draft` takes the place of all that the generation wrote before it, else `text` adds to that. `status` is set when
    the generation is over, with the reason and, when it failed, the error.
    """

    attempt: int
    text: str = ""
    tokens: int = 0
    receipt: dict[str, Any] | None = None
    status: Status | None = None
    reason: str = ""
    error: str | None = None
    draft: bool = False

    @property
    def empty(self) -> bool:
        """Whether there is nothing to store."""
        return not (self.text or self.draft or self.tokens or self.receipt or self.status)


def claim(owner: str, room: int, lease_seconds: float, attempts: int) -> list[Claim]:
    """Take up to `room` waiting generations, in fair order, for `lease_seconds`.

    Generations whose runner died are put back first, or count as interrupted after `attempts` deaths; their text stays.
    """
    with write() as session:
        reap(attempts)
        chosen = generations.fair_order()[:room]
        if not chosen:
            return []
        query = select(Generation).where(Generation.id.in_(chosen), Generation.status == Status.QUEUED)
        rows = session.scalars(query.with_for_update(skip_locked=True).execution_options(populate_existing=True)).all()
        lease = now() + timedelta(seconds=lease_seconds)
        for row in rows:
            row.status, row.owner, row.lease_until = Status.GENERATING, owner, lease
            row.attempt += 1
            row.started_at = row.started_at or now()
        session.flush()
        by_id = {row.id: row for row in rows}
        return [_claim(by_id[chosen_id]) for chosen_id in chosen if chosen_id in by_id]


def waiting() -> bool:
    """Whether there may be something to claim: a waiting generation, or one whose runner is silent."""
    query = select(Generation.id).where(
        (Generation.status == Status.QUEUED)
        | ((Generation.status == Status.GENERATING) & (Generation.lease_until < now()))
    )
    return db.session.scalar(query.limit(1)) is not None


def standing(owner: str) -> dict[int, bool]:
    """The generations this runner still holds, each with whether its Stop was asked for."""
    query = select(Generation.id, Generation.cancel_requested).where(
        Generation.owner == owner, Generation.status == Status.GENERATING
    )
    return {row.id: row.cancel_requested for row in db.session.execute(query)}


def record(owner: str, written: Mapping[int, Written], lease_seconds: float) -> set[int]:
    """Store what was written since the last tick and renew all leases, in one transaction.

    Returns the ids of those generations in `written` that this runner holds no longer; nothing was stored for them.
    """
    with write() as session:
        moment = now()
        session.execute(
            update(Generation)
            .where(Generation.owner == owner, Generation.status == Status.GENERATING)
            .values(lease_until=moment + timedelta(seconds=lease_seconds))
        )
        held = _held(owner, written)
        ours = {key: news for key, news in written.items() if key in held}
        drafts = _forget_earlier({key: news.text for key, news in ours.items() if news.draft})
        added = {key for key, news in ours.items() if news.text and not news.draft}
        chunks = [_advance(held[key], ours[key]) for key in ours if key in drafts | added]
        if chunks:
            session.execute(insert(Chunk), chunks)
        for key, news in ours.items():
            _note(held[key], news)
        return set(written) - set(held)


def release(owner: str) -> None:
    """Hand back all that this runner holds; it ends of its own accord, so that the attempt does not count."""
    with write() as session:
        session.execute(
            update(Generation)
            .where(Generation.owner == owner, Generation.status == Status.GENERATING)
            .values(status=Status.QUEUED, owner=None, lease_until=None, attempt=Generation.attempt - 1)
        )


def reap(attempts: int) -> None:
    """Put back the generations of dead runners in the write under way; end those that killed `attempts` of them."""
    dead = db.session.scalars(
        select(Generation)
        .where(Generation.status == Status.GENERATING, Generation.lease_until < now())
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    ).all()
    for generation in dead:
        if generation.cancel_requested:
            generations.settle(generation, Status.STOPPED, "cancelled")
        elif generation.attempt >= attempts:
            generations.settle(generation, Status.INTERRUPTED, "crashed")
        else:
            generation.status, generation.owner, generation.lease_until = Status.QUEUED, None, None
    db.session.flush()


def _held(owner: str, written: Mapping[int, Written]) -> dict[int, Generation]:
    rows = db.session.scalars(
        select(Generation)
        .where(Generation.id.in_(written), Generation.owner == owner, Generation.status == Status.GENERATING)
        .execution_options(populate_existing=True)
    )
    return {row.id: row for row in rows if row.attempt == written[row.id].attempt}


def _advance(row: Generation, news: Written) -> dict[str, Any]:
    row.seq += 1
    return {"generation_id": row.id, "seq": row.seq, "text": news.text, "fresh": news.draft}


def _forget_earlier(drafts: Mapping[int, str]) -> set[int]:
    """Delete the chunks whose place drafts take; returns the ids of those drafts that say something new."""
    if not drafts:
        return set()
    stored = dict.fromkeys(drafts, "")
    query = select(Chunk.generation_id, Chunk.text).where(Chunk.generation_id.in_(drafts)).order_by(Chunk.seq)
    for row in db.session.execute(query):
        stored[row.generation_id] += row.text
    changed = {key for key, text in drafts.items() if stored[key] != text}
    if changed:
        db.session.execute(delete(Chunk).where(Chunk.generation_id.in_(changed)))
    return changed


def _note(row: Generation, news: Written) -> None:
    row.tokens += news.tokens
    row.receipt = news.receipt or row.receipt
    if news.tokens and row.first_token_at is None:
        row.first_token_at = now()
    if news.status:
        db.session.flush()
        generations.settle(row, news.status, news.reason, news.error)


def _claim(row: Generation) -> Claim:
    answer = db.session.get_one(Message, row.message_id, populate_existing=True)
    if generations.undecided(row.id):
        _begin_anew(row)
    prefix = answer.text + generations.written(row.id)
    return Claim(
        row.id,
        row.attempt,
        _turns_before(answer),
        prefix,
        row.tokens,
        _seed(row),
        row.model,
        row.preset,
        tuple(row.instructions.split("\n")) if row.instructions else (),
        row.numbers or {},
    )


def _begin_anew(row: Generation) -> None:
    """Forget a draft: nothing can go on from it, and who follows the answer is told so by an empty fresh chunk."""
    row.tokens, row.first_token_at = 0, None
    db.session.execute(delete(Chunk).where(Chunk.generation_id == row.id))
    db.session.add(Chunk(**_advance(row, Written(row.attempt, draft=True))))
    db.session.flush()


def _seed(row: Generation) -> int | None:
    """The seed of an earlier attempt: with it the next one goes on with the very words it would have chosen."""
    seed = (row.receipt or {}).get("options", {}).get("seed")
    return seed if isinstance(seed, int) else None


def _turns_before(answer: Message) -> tuple[Turn, ...]:
    return tuple(Turn(row.role.value, row.text) for row in messages_before(answer))


def messages_before(answer: Message) -> Sequence[Message]:
    """The messages that are the turns of an answer's prompt, the oldest first."""
    above = branches.ancestors(answer.parent_id, MOST_TURNS)
    query = select(Message).where(Message.id.in_(above), Message.text != "").order_by(Message.id)
    rows: Sequence[Message] = db.session.scalars(query).all()
    return rows
