"""Prompt reports for the demo, as a runner would store them, without a model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from chatsite.engine.types import GenerationOptions, PromptReport, Turn, TurnReport
from chatsite.runner.prompt_reports import serialize_prompt_report

# Similar to real tokenizers: short words with the space before them, long words in pieces.
PIECE_PATTERN = re.compile(r"\s*(?:[^\W\d_]{1,7}|\d{1,3}|.)", re.DOTALL)
# Prompt budget, and tokens that the prompt format adds to each turn, by family.
PROMPT_BUDGETS = {"blenderbot": (128, 3), "chat": (7680, 5)}
DEFAULT_PROMPT_BUDGET = (2000, 0)
BEAM_COUNT = 10


def split_pieces(text: str) -> tuple[str, ...]:
    """Split a text into pieces of about the size of tokens."""
    return tuple(PIECE_PATTERN.findall(text.strip()))


def make_prompt_report(
    model: str, family: str, turns: Sequence[Turn], *, persona: str | None, seed: int = 7
) -> dict[str, Any]:
    """Make a prompt report with the latest whole turns that fit into the context window of a family."""
    budget, turn_overhead = PROMPT_BUDGETS.get(family, DEFAULT_PROMPT_BUDGET)
    lines = tuple((persona or "").split("\n")) if persona else ()
    used, has_room, turn_reports = len(split_pieces(persona or "")), True, []
    for index, turn in reversed(list(enumerate(turns))):
        turn_pieces = split_pieces(turn.text)
        has_room = has_room and used + len(turn_pieces) + turn_overhead <= budget
        used += len(turn_pieces) + turn_overhead if has_room else 0
        turn_reports.append(
            TurnReport(
                index, turn.role, len(turn_pieces), is_kept=has_room, token_texts=turn_pieces if has_room else ()
            )
        )
    report = PromptReport(
        model,
        "demo",
        family,
        budget,
        used,
        tuple(reversed(turn_reports)),
        lines,
        _sampling_options(family, seed),
        turn_overhead,
    )
    return serialize_prompt_report(report, turns)


def _sampling_options(family: str, seed: int) -> dict[str, Any]:
    if family == "blenderbot":
        return asdict(GenerationOptions(beams=BEAM_COUNT, length_penalty=0.65, min_new_tokens=20, no_repeat_ngram=3))
    return asdict(GenerationOptions(temperature=0.6, top_p=0.9, repetition_penalty=1.1, seed=seed))
