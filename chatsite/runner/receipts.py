"""The receipt of a prompt as it is stored with the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chatsite.engine import Receipt, SeenTurn, Turn


def compact(receipt: Receipt, turns: Sequence[Turn]) -> dict[str, Any]:
    """The receipt in JSON: each turn as [index, role, tokens, kept, cut], and how it was split where that is known.

    `turns` are those of the request, whose texts the database has.
    """
    seen = [_turn(each, turns[each.index].text if each.index < len(turns) else "") for each in receipt.turns]
    return {
        "model": receipt.model,
        "revision": receipt.revision,
        "family": receipt.family,
        "budget": receipt.budget,
        "used": receipt.used,
        "kept": receipt.kept,
        "frame": receipt.frame,
        # The generation has the text of it.
        "persona": bool(receipt.persona),
        "options": receipt.options,
        "turns": seen,
    }


def _turn(turn: SeenTurn, text: str) -> list[Any]:
    row = [turn.index, turn.role, turn.tokens, turn.kept, turn.cut]
    return [*row, _pieces(turn.pieces, text.strip())] if turn.pieces else row


def _pieces(pieces: Sequence[str], text: str) -> list[int] | list[str]:
    """How long each piece is, counted from the end of the text; the pieces themselves if the model read another text.

    Some formats change what they read: BlenderBot's makes all white space one space.
    """
    return [len(piece) for piece in pieces] if text.endswith("".join(pieces)) else list(pieces)
