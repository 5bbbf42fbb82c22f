"""Receipts: what the model saw of a conversation, and what it will see of it when the next question comes.

A receipt as the runner stores it has no texts. It is lined up from its end with the messages before the answer, which
are what the prompt was made of and do not change any more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from sqlalchemy import Row, func, select

from chatsite.database import db
from chatsite.models import ACTIVE, Conversation, Generation, Message, Role
from chatsite.services import branches
from chatsite.services.claims import MOST_TURNS, messages_before

CHARS_PER_TOKEN = 4.0
# A few words say little of how long the tokens of a text are.
ENOUGH_TOKENS = 50
TEXT_TO_TEXT = "text-to-text"
# An answer that failed early has no receipt; the one before it has.
RECENT = 3


@dataclass(frozen=True)
class ReadTurn:
    """One turn as the model read it, or did not.

    `cut` says that only the end of it was kept. `head` is text that is not told token by token, before `pieces`, which
    are. `text` is all there is of the turn; it is empty when its message is not there any more.
    """

    role: str
    tokens: int
    kept: bool
    cut: bool
    text: str = ""
    head: str = ""
    pieces: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reading:
    """What the model saw: `used` of `budget` tokens, made of the persona and the turns."""

    model: str
    revision: str
    family: str
    budget: int
    used: int
    persona: tuple[str, ...]
    turns: tuple[ReadTurn, ...]
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def kept(self) -> list[ReadTurn]:
        """The turns that the model saw."""
        return [turn for turn in self.turns if turn.kept]

    @property
    def left_out(self) -> list[ReadTurn]:
        """The turns with text that it did not see, the oldest first."""
        return [turn for turn in self.turns if not turn.kept and turn.tokens]

    @property
    def weighed(self) -> bool:
        """Whether several answers were followed at once, and the likeliest of them taken."""
        beams = self.options.get("beams")
        return isinstance(beams, int) and beams > 1

    @property
    def frame(self) -> int:
        """The tokens that are no turn's text: the persona, and what says where a turn begins."""
        return max(self.used - sum(turn.tokens for turn in self.kept), 0)


def reading(answer: Message) -> Reading | None:
    """What the model saw when it wrote an answer; None when no receipt of that was kept."""
    stored = _receipt(answer.generation)
    if not stored:
        return None
    texts = [row.text for row in messages_before(answer)]
    rows = stored["turns"]
    missing = max(len(rows) - len(texts), 0)
    lined_up = zip(rows, [*[""] * missing, *texts[len(texts) - len(rows) + missing :]], strict=True)
    return Reading(
        model=str(stored.get("model", "")),
        revision=str(stored.get("revision", "")),
        family=str(stored.get("family", "")),
        budget=int(stored.get("budget", 0)),
        used=int(stored.get("used", 0)),
        persona=_persona(stored, answer.generation),
        turns=tuple(_turn(row, text) for row, text in lined_up),
        options=dict(stored.get("options") or {}),
    )


def _receipt(generation: Generation | None) -> dict[str, Any]:
    """The stored receipt, or nothing where there is none that says anything of turns."""
    stored = generation.receipt if generation else None
    return stored if isinstance(stored, dict) and stored.get("turns") else {}


def _persona(stored: dict[str, Any], generation: Generation | None) -> tuple[str, ...]:
    """What the model was told before all turns; receipts of earlier versions hold it themselves."""
    told = stored.get("persona") or ()
    if told is not True:
        return tuple(told)
    return (generation.instructions,) if generation and generation.instructions else ()


def _turn(row: Sequence[Any], text: str) -> ReadTurn:
    _, role, tokens, kept, cut, *more = row
    text = text.strip()
    pieces = _pieces(more[0] if more else (), text)
    head = text[: len(text) - sum(map(len, pieces))] if not cut and text.endswith("".join(pieces)) else ""
    return ReadTurn(str(role), int(tokens), bool(kept), bool(cut), text, head, pieces)


def _pieces(stored: Sequence[int | str], text: str) -> tuple[str, ...]:
    """The texts of the tokens: as they are stored, or cut from the end of the text; nothing if they do not fit it."""
    if all(isinstance(piece, str) for piece in stored):
        return tuple(map(str, stored))
    lengths = [int(piece) for piece in stored]
    place, found = len(text) - sum(lengths), []
    if place < 0:
        return ()
    for length in lengths:
        found.append(text[place : place + length])
        place += length
    return tuple(found)


@dataclass(frozen=True)
class Outlook:
    """What the next question will meet: about `used` of `budget` tokens are taken, with what is typed.

    `cut` says that the model will not see all of the conversation, and `oldest` is the first message that it will see:
    None when the question alone fills the budget.
    """

    used: int
    budget: int
    cut: bool = False
    oldest: Message | None = None


def outlook(conversation: Conversation, typed: int = 0) -> Outlook | None:
    """What the model will see of a conversation when the next question has `typed` characters.

    It is an estimate from the newest receipt: what came after that and what is typed is counted by its length. None
    while nothing is known: before the first answer, and before the first one of another model or by other instructions.
    """
    generation = _newest(conversation)
    if generation is None or generation.model != conversation.model:
        return None
    if generation.instructions != conversation.instructions:
        return None
    stored, rows = _receipt(generation), _rows(conversation)
    budget, fixed = int(stored["budget"]), _fixed(stored)
    question = [_tokens(typed, stored) + _frame(stored)] if typed else []
    left = _left([*_costs(generation, stored, rows), *question])
    starts = _starts(stored, rows, bool(question))
    start = next((start for start in starts if left[start] <= budget - fixed), starts[-1])
    # Of a very long conversation there are messages before the first row, too.
    cut = start > 0 or len(rows) == MOST_TURNS
    oldest = db.session.get(Message, rows[start].id) if cut and start < len(rows) else None
    return Outlook(min(round(fixed + left[start]), budget), budget, cut, oldest)


def _newest(conversation: Conversation) -> Generation | None:
    """The newest finished generation with a receipt that can be counted with."""
    near = branches.ancestors(conversation.leaf_id, 2 * RECENT)
    query = (
        select(Generation)
        .where(Generation.message_id.in_(near), Generation.newest, Generation.status.not_in(ACTIVE))
        .order_by(Generation.message_id.desc())
        .limit(RECENT)
        .execution_options(populate_existing=True)
    )
    return next((each for each in db.session.scalars(query) if _receipt(each).get("budget")), None)


def _rows(conversation: Conversation) -> Sequence[Row[Any]]:
    """The messages that can be turns of the next prompt, the oldest first, without their texts."""
    shown = branches.ancestors(conversation.leaf_id, MOST_TURNS)
    columns = Message.id, Message.role, func.length(Message.text).label("length")
    return db.session.execute(
        select(*columns).where(Message.id.in_(shown), Message.text != "").order_by(Message.id)
    ).all()


def _costs(generation: Generation, stored: dict[str, Any], rows: Sequence[Row[Any]]) -> list[float]:
    """What each message takes of a prompt: as counted in the receipt, or else by its length."""
    counted = [int(turn[2]) for turn in stored["turns"]]
    before = [row.id for row in rows if row.id < generation.message_id]
    known = dict(zip(reversed(before), reversed(counted), strict=False)) | _written(generation)
    return [known.get(row.id, _tokens(row.length, stored)) + _frame(stored) for row in rows]


def _written(generation: Generation) -> dict[int, int]:
    """The tokens of the answer, where one generation wrote all of it; one that went on counts only its own."""
    runs = select(func.count()).where(Generation.message_id == generation.message_id)
    return {generation.message_id: generation.tokens} if db.session.scalar(runs) == 1 else {}


def _tokens(characters: int, stored: dict[str, Any]) -> int:
    """About how many tokens so many characters make in this conversation."""
    told = [turn[5] for turn in stored["turns"] if len(turn) > 5 and isinstance(turn[5][0], int)]
    tokens = sum(map(len, told))
    mean = sum(map(sum, told)) / tokens if tokens >= ENOUGH_TOKENS else CHARS_PER_TOKEN
    return math.ceil(characters / mean)


def _frame(stored: dict[str, Any]) -> float:
    """What the format adds to each turn; receipts of earlier versions do not tell."""
    return float(stored.get("frame", 0.0))


def _fixed(stored: dict[str, Any]) -> float:
    """What a prompt takes whatever is said in it."""
    kept = sum(float(turn[2]) + _frame(stored) for turn in stored["turns"] if turn[3])
    return float(stored["used"]) - kept


def _left(costs: Sequence[float]) -> list[float]:
    """What everything from each place on takes; nothing from the end on."""
    return [*accumulate(reversed(costs), initial=0.0)][::-1]


def _starts(stored: dict[str, Any], rows: Sequence[Row[Any]], typed: bool) -> list[int]:
    """Where the turns that are kept may begin.

    Chat models never begin with an answer whose question is lost; text-to-text models read nothing but the question.
    """
    if stored.get("family") == TEXT_TO_TEXT:
        return [len(rows)]
    anywhere = stored.get("family") != "chat"
    found = [i for i, row in enumerate(rows) if anywhere or i == 0 or row.role is Role.USER]
    return [*found, len(rows)] if typed else found or [0]
