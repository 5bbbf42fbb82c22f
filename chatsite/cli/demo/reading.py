"""What the models of the demo would have seen: receipts of the kind that a runner stores, without any model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from chatsite.engine import Options, Receipt, SeenTurn, Turn
from chatsite.runner.receipts import compact

# About as tokenizers cut: whole common words with the space before them, long ones in pieces.
PIECE = re.compile(r"\s*(?:[^\W\d_]{1,7}|\d{1,3}|.)", re.DOTALL)
# Room for the prompt, and what the format adds to a turn, by the family of the model.
ROOM = {"blenderbot": (128, 3), "chat": (7680, 5)}
ELSE = (2000, 0)
BEAMS = 10


def pieces(text: str) -> tuple[str, ...]:
    """A text in pieces of about the size of tokens."""
    return tuple(PIECE.findall(text.strip()))


def receipt(model: str, family: str, turns: Sequence[Turn], persona: str | None, seed: int = 7) -> dict[str, Any]:
    """The receipt of a prompt: the newest whole turns that fit into the window of models of that family."""
    budget, frame = ROOM.get(family, ELSE)
    lines = tuple((persona or "").split("\n")) if persona else ()
    used, fits, seen = len(pieces(persona or "")), True, []
    for index, turn in reversed(list(enumerate(turns))):
        cut = pieces(turn.text)
        fits = fits and used + len(cut) + frame <= budget
        used += len(cut) + frame if fits else 0
        seen.append(SeenTurn(index, turn.role, len(cut), kept=fits, pieces=cut if fits else ()))
    told = Receipt(model, "demo", family, budget, used, tuple(reversed(seen)), lines, _options(family, seed), frame)
    return compact(told, turns)


def _options(family: str, seed: int) -> dict[str, Any]:
    if family == "blenderbot":
        return asdict(Options(beams=BEAMS, length_penalty=0.65, min_new_tokens=20, no_repeat_ngram=3))
    return asdict(Options(temperature=0.6, top_p=0.9, repetition_penalty=1.1, seed=seed))
