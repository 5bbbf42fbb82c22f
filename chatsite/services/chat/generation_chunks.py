"""Chunks of generations: what each tick of a runner adds to an answer, or puts in the place of all that was there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, insert, select

from chatsite.database import WriteSession
from chatsite.models import Chunk, Generation
from chatsite.services.chat.generation_update import GenerationUpdate, HeldGeneration


def store(tx: WriteSession, rows: Mapping[int, HeldGeneration], updates: Mapping[int, GenerationUpdate]) -> None:
    """Store the texts of updates as chunks, the next ones of their `rows`; both are by generation id.

    A provisional text that has not changed makes no chunk, so that no reader renders it again.
    """
    kept_reasoning = _delete_old(tx, {key: news for key, news in updates.items() if news.is_provisional})
    chunks = [
        next_chunk(rows[key], news, kept_reasoning.get(key, ""))
        for key, news in updates.items()
        if key in kept_reasoning or (news.makes_chunk and not news.is_provisional)
    ]
    if chunks:
        tx.execute(insert(Chunk), chunks)


def next_chunk(row: Generation | HeldGeneration, update: GenerationUpdate, kept_reasoning: str = "") -> dict[str, Any]:
    """Return the values of the next chunk of a generation, which begins with the reasoning that it has to keep."""
    row.last_seq += 1
    return {
        "generation_id": row.id,
        "seq": row.last_seq,
        "text": update.text,
        "reasoning": kept_reasoning + update.reasoning,
        "restarts": update.is_provisional,
    }


def _delete_old(tx: WriteSession, drafts: Mapping[int, GenerationUpdate]) -> dict[int, str]:
    """Delete the chunks that provisional texts replace.

    Returns the reasoning to keep of each generation of which something changed: all of it, unless nothing is to be
    left.
    """
    if not drafts:
        return {}
    texts, reasonings = dict.fromkeys(drafts, ""), dict.fromkeys(drafts, "")
    query = select(Chunk.generation_id, Chunk.text, Chunk.reasoning).where(Chunk.generation_id.in_(drafts))
    for chunk in tx.execute(query.order_by(Chunk.seq)):
        texts[chunk.generation_id] += chunk.text
        reasonings[chunk.generation_id] += chunk.reasoning
    kept_reasoning = {
        key: "" if news.is_restart else reasonings[key]
        for key, news in drafts.items()
        if texts[key] != news.text or news.reasoning or news.is_restart
    }
    if kept_reasoning:
        tx.execute(delete(Chunk).where(Chunk.generation_id.in_(kept_reasoning)))
    return kept_reasoning
