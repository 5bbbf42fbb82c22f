"""Prompt reports as they are stored with a generation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chatsite.engine.types import PromptReport, Turn, TurnReport


def serialize_prompt_report(report: PromptReport, turns: Sequence[Turn]) -> dict[str, Any]:
    """Convert a prompt report to JSON: each turn as [index, role, tokens, is kept, is truncated, pieces].

    Pieces are left out if the report has no token texts. `turns` are the turns of the request; their texts are already
    in the database.
    """
    turn_rows = [
        _serialize_turn(turn, turns[turn.index].text if turn.index < len(turns) else "") for turn in report.turns
    ]
    return {
        "model": report.model,
        "revision": report.revision,
        "family": report.family,
        "budget": report.budget_tokens,
        "used": report.used_tokens,
        "kept": report.kept_turn_count,
        "frame": report.overhead_tokens,
        # The text is already stored with the generation.
        "persona": bool(report.persona),
        "options": report.options,
        "counted_by": report.counted_by,
        "notes": list(report.notes),
        "turns": turn_rows,
    }


def _serialize_turn(turn: TurnReport, text: str) -> list[Any]:
    row = [turn.index, turn.role, turn.token_count, turn.is_kept, turn.is_truncated]
    return [*row, _serialize_pieces(turn.token_texts, text.strip())] if turn.token_texts else row


def _serialize_pieces(pieces: Sequence[str], text: str) -> list[int] | list[str]:
    """Return the lengths of the pieces, to be cut from the end of `text`, or the pieces themselves.

    The pieces are needed where the model read another text: BlenderBot's format makes all white space one space.
    """
    return [len(piece) for piece in pieces] if text.endswith("".join(pieces)) else list(pieces)
