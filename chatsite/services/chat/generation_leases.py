"""Leases of generations: runners claim them, write to them and hand them back (`services.leases`).

Each write of a runner names the owner and the attempt of its claim. A runner whose lease expired, and whose work
another runner claimed, changes nothing any more.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields

from sqlalchemy import delete, select, update

from chatsite.database import WriteSession, db, utcnow, write_transaction
from chatsite.engine.types import Turn
from chatsite.errors import ChatsiteError
from chatsite.models import Chunk, Generation, Message, Status
from chatsite.services import leases
from chatsite.services.chat import claim_selection, generation_chunks, generation_reaping, generations, message_tree
from chatsite.services.chat.claim_selection import RunnerModels, Selected
from chatsite.services.chat.generation_reaping import RUNNING
from chatsite.services.chat.generation_update import GenerationUpdate, HeldGeneration

# More turns than any prompt holds; reading all of a very long conversation would make its answers slow.
MAX_PROMPT_MESSAGES = 400
MAX_TOKEN_COUNT = 2**31 - 1
HELD_COLUMNS = tuple(getattr(Generation, each.name) for each in fields(HeldGeneration))


@dataclass(frozen=True)
class ClaimedGeneration:
    """A generation that a runner claimed: the turns to answer, and the text that is written already (`prefix_text`).

    `token_count` is the number of tokens of that text that earlier attempts wrote, `last_seq` the number of their last
    chunk, and `seed` the seed with which they sampled. `model` and `preset` are the model choice; None leaves either to
    the engine. `instructions` are the lines that the model reads before all turns, and `generation_options` the options
    that the user set. `reasoning` is what an earlier attempt thought before that text.
    """

    generation_id: int
    attempts: int
    messages: tuple[Turn, ...]
    prefix_text: str
    token_count: int
    seed: int | None
    model: str | None = None
    preset: str | None = None
    instructions: tuple[str, ...] = ()
    generation_options: Mapping[str, float] = field(default_factory=dict)
    last_seq: int = 0
    kept_chars: int = 0
    endpoint: str = ""
    refusal: ChatsiteError | None = None
    reasoning: str = ""


def claim(  # noqa: PLR0913 Whose lease, of what, how much, and for how long.
    lease_owner: str,
    max_count: int,
    lease_seconds: float,
    *,
    max_attempts: int,
    may_reap: bool = True,
    models: RunnerModels | None = None,
) -> list[ClaimedGeneration]:
    """Claim up to `max_count` waiting generations, in fair order, for `lease_seconds` seconds.

    With `models` only those that this runner is to answer (`claim_selection`); what endpoints write does not count.
    With `may_reap` the generations of dead runners are put back first, or end as interrupted when `max_attempts` deaths
    are put down to them; their text stays. Without it, no other runner counts as dead in the choice either.
    """
    with write_transaction() as tx:
        # First, so that the leases of a runner all end together, and none of its own is taken for a dead runner's.
        _renew_leases(tx, lease_owner, lease_seconds)
        _cut_leases(tx, lease_seconds)
        if may_reap:
            # In the same transaction, so that this call can claim what a dead runner held.
            generation_reaping.reap(tx, max_attempts, lease_owner)
        chosen = claim_selection.select_claimable(
            lease_owner, models, max_local=max_count, lease_seconds=lease_seconds, may_reap=may_reap, tx=tx
        )
        if not chosen:
            return []
        # On PostgreSQL another runner may claim some of them between the two queries; the locking one skips those.
        chosen_ids = [each.generation_id for each in chosen]
        query = select(Generation).where(Generation.id.in_(chosen_ids), Generation.status == Status.QUEUED)
        rows = tx.scalars(leases.lock_rows(query)).all()
        for row in rows:
            row.status, row.lease_owner, row.attempts = Status.GENERATING, lease_owner, row.attempts + 1
            row.started_at = row.started_at or utcnow()
        tx.flush()
        _renew_leases(tx, lease_owner, lease_seconds)
        # The rows come in any order, and the runner starts them in the order of this list.
        by_id = {row.id: row for row in rows}
        return [_build_claim(tx, by_id[each.generation_id], each) for each in chosen if each.generation_id in by_id]


def has_work(lease_seconds: float | None = None, *, may_reap: bool = True) -> bool:
    """Return whether there may be something to claim: a waiting generation, or with `may_reap` an abandoned one.

    With `lease_seconds`, also whether a lease is longer than that.
    """
    condition = Generation.status == Status.QUEUED
    if may_reap:
        condition |= generation_reaping.has_expired_lease()
    if lease_seconds is not None:
        condition |= RUNNING & leases.is_overlong(Generation.lease_until, lease_seconds)
    return db.session.scalar(select(Generation.id).where(condition).limit(1)) is not None


def list_held(lease_owner: str) -> dict[int, bool]:
    """Return the ids of the generations that this runner holds, each with whether a stop was requested."""
    query = select(Generation.id, Generation.cancel_requested).where(leases.is_held(Generation, RUNNING, lease_owner))
    return {row.id: row.cancel_requested for row in db.session.execute(query)}


def heartbeat(lease_owner: str, updates: Mapping[int, GenerationUpdate], lease_seconds: float) -> set[int]:
    """Store the news of the last tick and renew all leases of a runner, in one transaction.

    `updates` are the news by generation id. Returns the ids in `updates` that this runner does not hold any more;
    nothing was stored for them.
    """
    with write_transaction() as tx:
        # Also for generations without news: a long prompt is read for a while before the first token.
        _renew_leases(tx, lease_owner, lease_seconds)
        held = _lock_held(tx, lease_owner, updates)
        ours = {key: news for key, news in updates.items() if key in held and not _is_stored(held[key], news)}
        for key, news in ours.items():
            if news.is_restart:
                _reset_counts(held[key])
        generation_chunks.store(tx, held, ours)
        for key, news in ours.items():
            _apply_update(held[key], news)
        _store_counts(tx, [held[key] for key in ours])
        for key, news in ours.items():
            if news.prompt_report:
                report = update(Generation).where(Generation.id == key).values(prompt_report=news.prompt_report)
                tx.execute(report.execution_options(synchronize_session=False))
            if news.status:
                row = tx.get_one(Generation, key, populate_existing=True)
                generations.finish(tx, row, news.status, finish_reason=news.finish_reason, error=news.error)
        return set(updates) - set(held)


def release(lease_owner: str, generation_ids: Collection[int] | None = None) -> None:
    """Hand back what a runner does not write on purpose, so that the attempt does not count.

    That is all that it holds, because it ends, or `generation_ids`.
    """
    held = leases.is_held(Generation, RUNNING, lease_owner)
    if generation_ids is not None:
        held &= Generation.id.in_(generation_ids)
    with write_transaction() as tx:
        tx.execute(
            update(Generation)
            .where(held)
            .values(status=Status.QUEUED, lease_owner=None, lease_until=None, attempts=Generation.attempts - 1)
        )


def _renew_leases(tx: WriteSession, lease_owner: str, lease_seconds: float) -> None:
    """Renew all leases of a runner, also those that have expired: nobody else has claimed the work."""
    mine = update(Generation).where(leases.is_held(Generation, RUNNING, lease_owner))
    tx.execute(mine.values(lease_until=leases.lease_end(lease_seconds)).execution_options(synchronize_session=False))


def _cut_leases(tx: WriteSession, lease_seconds: float) -> None:
    """Let leases that are longer than a lease can be end as one that is given now."""
    overlong = update(Generation).where(RUNNING, leases.is_overlong(Generation.lease_until, lease_seconds))
    lease_until = leases.lease_end(lease_seconds)
    tx.execute(overlong.values(lease_until=lease_until).execution_options(synchronize_session=False))


def _is_stored(row: HeldGeneration, update_: GenerationUpdate) -> bool:
    """Return whether an update was stored by an earlier call, whose end its runner did not learn."""
    return 0 < update_.seq <= row.last_seq


def _lock_held(
    tx: WriteSession, lease_owner: str, updates: Mapping[int, GenerationUpdate]
) -> dict[int, HeldGeneration]:
    # No FOR UPDATE: the renewal of the leases in this transaction has locked these rows.
    is_ours = leases.is_held(Generation, RUNNING, lease_owner)
    rows = tx.execute(select(*HELD_COLUMNS).where(Generation.id.in_(updates), is_ours))
    return {row.id: HeldGeneration(*row) for row in rows if row.attempts == updates[row.id].attempts}


def _store_counts(tx: WriteSession, rows: Sequence[HeldGeneration]) -> None:
    """Store rows that news were applied to: all in one statement."""
    if rows:
        tx.execute(update(Generation), [dict(vars(row)) for row in rows])


def _apply_update(row: HeldGeneration, update_: GenerationUpdate) -> None:
    # Whatever a server says that it has counted, the column holds no more.
    row.token_count = min(row.token_count + update_.new_tokens, MAX_TOKEN_COUNT)
    row.reasoning_tokens = min(row.reasoning_tokens + update_.reasoning_tokens, MAX_TOKEN_COUNT)
    # A later attempt keeps the time of the first token: the user has seen it.
    if (update_.new_tokens or update_.reasoning) and row.first_token_at is None:
        row.first_token_at = utcnow()
    if update_.reasoning and row.first_token_at:
        row.reasoning_seconds = (utcnow() - row.first_token_at).total_seconds()


def _build_claim(tx: WriteSession, row: Generation, selected: Selected) -> ClaimedGeneration:
    answer = tx.get_one(Message, row.message_id, populate_existing=True)
    text, reasoning = generations.partial_texts(row.id)
    # Nobody can go on with half a thought: a model that had not begun to answer thinks anew.
    if generations.is_provisional(row.id) or (reasoning and not text):
        _discard_progress(tx, row)
        text = reasoning = ""
    # Text of earlier generations (Continue) is in the message, text of earlier attempts still in chunks.
    prefix = answer.text + text
    return ClaimedGeneration(
        row.id,
        row.attempts,
        _prompt_turns(answer),
        prefix,
        row.token_count - row.reasoning_tokens,
        _earlier_seed(row),
        row.model,
        row.preset,
        _instruction_lines(row),
        row.generation_options or {},
        row.last_seq,
        kept_chars=len(answer.text),
        endpoint=selected.endpoint,
        refusal=selected.refusal,
        reasoning=reasoning,
    )


def _instruction_lines(row: Generation) -> tuple[str, ...]:
    """Return the lines that the model reads before all turns: those for every chat, and those of the conversation."""
    parts = [part for part in (row.user_instructions, row.instructions) if part]
    return tuple("\n\n".join(parts).split("\n")) if parts else ()


def _discard_progress(tx: WriteSession, row: Generation) -> None:
    """Delete the provisional text, or the reasoning, of an expired attempt, from which no attempt can continue.

    An empty chunk that restarts the text tells the readers of the answer to drop what they have.
    """
    _reset_counts(row)
    tx.execute(delete(Chunk).where(Chunk.generation_id == row.id))
    tx.add(Chunk(**generation_chunks.next_chunk(row, GenerationUpdate(row.attempts, is_provisional=True))))
    tx.flush()


def _reset_counts(row: Generation | HeldGeneration) -> None:
    row.token_count, row.first_token_at = 0, None
    row.reasoning_tokens, row.reasoning_seconds = 0, None


def _earlier_seed(row: Generation) -> int | None:
    """Return the seed of an earlier attempt, so that the next one samples the same continuation; None without one."""
    seed = (row.prompt_report or {}).get("options", {}).get("seed")
    return seed if isinstance(seed, int) else None


def _prompt_turns(answer: Message) -> tuple[Turn, ...]:
    return tuple(Turn(row.role.value, row.text) for row in prompt_messages(answer))


def prompt_messages(answer: Message) -> Sequence[Message]:
    """Return the messages with text that precede an answer on its branch, at most MAX_PROMPT_MESSAGES, oldest first."""
    ancestor_ids = message_tree.ancestors(answer.parent_id, MAX_PROMPT_MESSAGES)
    query = select(Message).where(Message.id.in_(ancestor_ids), Message.text != "").order_by(Message.id)
    rows: Sequence[Message] = db.session.scalars(query).all()
    return rows
