"""Views of answers: blocks, status while in progress, and summary when finished."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from chatsite.models import Generation, Message, Runner
from chatsite.rendering.blocks import split_blocks
from chatsite.rendering.process.render_budget import RenderBudget
from chatsite.services.chat import generation_progress, generations
from chatsite.services.chat.generation_progress import GenerationSnapshot
from chatsite.services.chat.generations import CUT_OFF_REASONS
from chatsite.web.core.blocks import render_growing_blocks
from chatsite.web.core.identity import find_current_runner


@dataclass(frozen=True)
class GenerationSummary:
    """The statistics of a finished answer. `token_count` is its length, without the `reasoning_tokens` before it.

    `is_truncated` says that a limit ended the answer, `fell_back_to_sampling` that a long queue replaced beam search.
    """

    time_to_first_token_seconds: float | None
    tokens_per_second: float | None
    token_count: int
    reasoning_tokens: int
    is_truncated: bool
    fell_back_to_sampling: bool


@dataclass(frozen=True)
class GenerationStatus:
    """The status line of an answer in progress.

    `runner` is looked up only while the answer is queued, `beams` only in beam search.
    """

    snapshot: GenerationSnapshot | None
    runner: Runner | None = None
    beams: int = 0


def render_partial_blocks(message: Message, snapshot: GenerationSnapshot | None, budget: RenderBudget) -> list[Markup]:
    """Render the blocks of an answer in progress, as `find_snapshot` returns it; the last block is still open."""
    finished, open_end = split_blocks(message.text + (snapshot.text if snapshot else ""))
    return render_growing_blocks([*finished, open_end], budget)


def find_snapshot(message: Message) -> GenerationSnapshot | None:
    """Return the current state of an answer in progress, with the chunks that are not in the message yet.

    Returns None if the message has no generation.
    """
    generation = message.generation
    if generation is None:
        return None
    return next(iter(generation_progress.take_snapshots({generation.id: 0})), None)


def summarize_generation(generation: Generation) -> GenerationSummary:
    """Summarize a finished generation."""
    first_token_at = generation.first_token_at
    report = generation.prompt_report or {}
    return GenerationSummary(
        time_to_first_token_seconds=(first_token_at - generation.created_at).total_seconds()
        if first_token_at
        else None,
        tokens_per_second=generation.tokens_per_second,
        token_count=generation.token_count - generation.reasoning_tokens,
        reasoning_tokens=generation.reasoning_tokens,
        is_truncated=generation.finish_reason in CUT_OFF_REASONS,
        fell_back_to_sampling=(report.get("options") or {}).get("fallback") == "busy",
    )


def build_generation_status(snapshot: GenerationSnapshot | None) -> GenerationStatus:
    """Build the status line of an answer in progress; look up the runner or the beams only where they are shown."""
    if snapshot is None or snapshot.queue_position:
        return GenerationStatus(snapshot, runner=find_current_runner())
    if snapshot.token_count and snapshot.is_provisional:
        return GenerationStatus(snapshot, beams=generations.beam_count(snapshot.id))
    return GenerationStatus(snapshot)
