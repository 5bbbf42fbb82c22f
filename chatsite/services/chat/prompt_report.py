"""Prompt reports: what the model saw of a conversation, and an estimate of what the next prompt will take.

A report as a runner stores it has no texts. Its turns are matched from the end with the messages before the answer,
from which the prompt was made and which do not change any more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from sqlalchemy import Row, func, select

from chatsite.database import db
from chatsite.models import IN_PROGRESS, Conversation, Generation, Message, Role
from chatsite.services.chat import chat_settings, message_tree, variations
from chatsite.services.chat.generation_leases import MAX_PROMPT_MESSAGES, prompt_messages

CHARS_PER_TOKEN = 4.0
# Servers of which nothing is known yet may split texts into shorter tokens.
FIRST_REMOTE_CHARS_PER_TOKEN = 2.5
MIN_COUNTED_TOKENS = 10
# With fewer tokens the measured mean length is too uncertain.
MIN_MEASURED_TOKENS = 50
TEXT_TO_TEXT = "text-to-text"
# An answer that failed early has no report, so the ones before it are looked at too.
RECENT_ANSWERS = 3


@dataclass(frozen=True)
class ReportedTurn:
    """One turn of a prompt report, kept or dropped.

    `is_cut` means that only the end of the turn was kept. `text` is the whole text of the turn, empty if its message
    does not exist any more. `token_texts` are the texts of its tokens, and `unsplit_text` is the text before them, of
    which no tokens are stored.
    """

    role: str
    token_count: int
    is_kept: bool
    is_cut: bool
    text: str = ""
    unsplit_text: str = ""
    token_texts: tuple[str, ...] = ()


@dataclass(frozen=True)
class PromptReport:
    """Report of a prompt: `used_tokens` of `budget_tokens` tokens, made of the persona and the kept turns.

    `user_instructions` are the instructions for every chat that the model read before the persona, or empty.
    `options` are the sampling parameters with which the answer was written. `counted_by` says who counted the tokens:
    the `engine`, the `server` of an endpoint, or nobody (`estimated`). `notes` are codes for what else is to be told.
    """

    model: str
    revision: str
    family: str
    budget_tokens: int
    used_tokens: int
    persona: tuple[str, ...]
    turns: tuple[ReportedTurn, ...]
    options: dict[str, Any] = field(default_factory=dict)
    user_instructions: str = ""
    counted_by: str = "engine"
    notes: tuple[str, ...] = ()

    @property
    def kept_turns(self) -> list[ReportedTurn]:
        """The turns that were in the prompt."""
        return [turn for turn in self.turns if turn.is_kept]

    @property
    def dropped_turns(self) -> list[ReportedTurn]:
        """The turns with text that did not fit into the prompt, oldest first."""
        return [turn for turn in self.turns if not turn.is_kept and turn.token_count]

    @property
    def used_beam_search(self) -> bool:
        """Return whether the answer was found by beam search."""
        beams = self.options.get("beams")
        return isinstance(beams, int) and beams > 1

    @property
    def overhead_tokens(self) -> int:
        """The number of tokens that are the text of no turn: the persona, and the template tokens around turns."""
        return max(self.used_tokens - sum(turn.token_count for turn in self.kept_turns), 0)


def load(answer: Message) -> PromptReport | None:
    """Return the prompt report of an answer; None if none was stored."""
    stored = _stored_report(answer.generation)
    if not stored:
        return None
    texts = [row.text for row in prompt_messages(answer)]
    rows = stored["turns"]
    missing = max(len(rows) - len(texts), 0)
    lined_up = zip(rows, [*[""] * missing, *texts[len(texts) - len(rows) + missing :]], strict=True)
    return PromptReport(
        model=str(stored.get("model", "")),
        revision=str(stored.get("revision", "")),
        family=str(stored.get("family", "")),
        budget_tokens=int(stored.get("budget", 0)),
        used_tokens=int(stored.get("used", 0)),
        persona=_persona_lines(stored, answer.generation),
        turns=tuple(_reported_turn(row, text) for row, text in lined_up),
        options=dict(stored.get("options") or {}),
        user_instructions=_user_instructions(stored, answer.generation),
        counted_by=str(stored.get("counted_by", "engine")),
        notes=tuple(map(str, stored.get("notes") or ())),
    )


def _stored_report(generation: Generation | None) -> dict[str, Any]:
    """Return the stored report of a generation; empty if there is none with turns."""
    stored = generation.prompt_report if generation else None
    return stored if isinstance(stored, dict) and stored.get("turns") else {}


def _persona_lines(stored: dict[str, Any], generation: Generation | None) -> tuple[str, ...]:
    """Return the lines that the model read before all turns; reports of earlier versions contain them."""
    persona = stored.get("persona") or ()
    if persona is not True:
        return tuple(persona)
    return (generation.instructions,) if generation and generation.instructions else ()


def _user_instructions(stored: dict[str, Any], generation: Generation | None) -> str:
    """Return the instructions for every chat that the model read; empty if its format left all instructions out."""
    return (generation.user_instructions or "") if generation and stored.get("persona") is True else ""


def _reported_turn(row: Sequence[Any], text: str) -> ReportedTurn:
    """Build a turn from its stored form (index, role, tokens, kept, cut, token data) and the text of its message."""
    _, role, tokens, kept, cut, *token_data = row
    text = text.strip()
    token_texts = _token_texts(token_data[0] if token_data else (), text)
    unsplit_text = (
        text[: len(text) - sum(map(len, token_texts))] if not cut and text.endswith("".join(token_texts)) else ""
    )
    return ReportedTurn(str(role), int(tokens), bool(kept), bool(cut), text, unsplit_text, token_texts)


def _token_texts(stored: Sequence[int | str], text: str) -> tuple[str, ...]:
    """Return the texts of the tokens of a turn: as stored, or cut from the end of `text` by the stored lengths.

    Empty if the lengths exceed the text.
    """
    if all(isinstance(piece, str) for piece in stored):
        return tuple(map(str, stored))
    lengths = [int(piece) for piece in stored]
    start, texts = len(text) - sum(lengths), []
    if start < 0:
        return ()
    for length in lengths:
        texts.append(text[start : start + length])
        start += length
    return tuple(texts)


@dataclass(frozen=True)
class ContextUsage:
    """Estimate of the next prompt: about `used_tokens` of `budget_tokens` tokens, with the text being typed.

    `is_over_budget` means that the model will not see the whole conversation; `first_kept_message` is then the first
    message that it will see, None if the question alone fills the budget. `is_uncounted` says that nobody has counted
    the last prompt either.
    """

    used_tokens: int
    budget_tokens: int
    is_over_budget: bool = False
    first_kept_message: Message | None = None
    is_uncounted: bool = False


def estimate_context_usage(conversation: Conversation, typed_chars: int = 0) -> ContextUsage | None:
    """Estimate how much of the prompt budget the next question takes if it has `typed_chars` characters.

    Counts from the newest prompt report; later messages and the typed text are estimated by their length. Returns None
    while there is no report by the current model with the current instructions.
    """
    generation = _latest_generation(conversation)
    if generation is None or generation.model != conversation.model:
        return None
    stored = _stored_report(generation)
    next_settings = chat_settings.for_next_answer(conversation, str(stored.get("family", "")))
    if (generation.user_instructions, variations.remove_from(generation.instructions)) != (
        next_settings.user_instructions,
        next_settings.instructions,
    ):
        return None
    rows = _prompt_rows(conversation)
    budget, fixed_tokens = int(stored["budget"]), _fixed_tokens(stored)
    counted = _counted_tokens(generation, stored, rows)
    mean = _chars_per_token(stored, rows, counted)
    frame = _tokens_per_turn(stored)
    question = [math.ceil(typed_chars / mean) + frame] if typed_chars else []
    costs = [counted.get(row.id, math.ceil(row.length / mean)) + frame for row in rows]
    tokens_from = _suffix_sums([*costs, *question])
    starts = _possible_starts(stored, rows, bool(question))
    start = next((start for start in starts if tokens_from[start] <= budget - fixed_tokens), starts[-1])
    # A very long conversation has more messages before the first row.
    is_over_budget = start > 0 or len(rows) == MAX_PROMPT_MESSAGES
    first_kept_message = db.session.get(Message, rows[start].id) if is_over_budget and start < len(rows) else None
    return ContextUsage(
        min(round(fixed_tokens + tokens_from[start]), budget),
        budget,
        is_over_budget,
        first_kept_message,
        is_uncounted=stored.get("counted_by") == "estimated",
    )


def _latest_generation(conversation: Conversation) -> Generation | None:
    """Return the newest finished generation of the active branch with a prompt budget in its report, or None."""
    nearby_ids = message_tree.ancestors(conversation.active_leaf_id, 2 * RECENT_ANSWERS)
    query = (
        select(Generation)
        .where(Generation.message_id.in_(nearby_ids), Generation.is_latest, Generation.status.not_in(IN_PROGRESS))
        .order_by(Generation.message_id.desc())
        .limit(RECENT_ANSWERS)
        .execution_options(populate_existing=True)
    )
    return next((each for each in db.session.scalars(query) if _stored_report(each).get("budget")), None)


def _prompt_rows(conversation: Conversation) -> Sequence[Row[Any]]:
    """Return id, role and length in characters of the messages that the next prompt may contain, oldest first."""
    branch_ids = message_tree.ancestors(conversation.active_leaf_id, MAX_PROMPT_MESSAGES)
    columns = Message.id, Message.role, func.length(Message.text).label("length")
    return db.session.execute(
        select(*columns).where(Message.id.in_(branch_ids), Message.text != "").order_by(Message.id)
    ).all()


def _counted_tokens(generation: Generation, stored: dict[str, Any], rows: Sequence[Row[Any]]) -> dict[int, int]:
    """Return the tokens of messages by id, as far as the report of the last answer knows them."""
    counted = [int(turn[2]) for turn in stored["turns"]]
    prompt_ids = [row.id for row in rows if row.id < generation.message_id]
    return dict(zip(reversed(prompt_ids), reversed(counted), strict=False)) | _answer_tokens(generation)


def _answer_tokens(generation: Generation) -> dict[int, int]:
    """Return the token count of the answer by message id, if a single generation wrote it all; empty otherwise.

    A continued generation counts only its own tokens.
    """
    runs = select(func.count()).where(Generation.message_id == generation.message_id)
    # What was thought is not sent back.
    tokens = generation.token_count - generation.reasoning_tokens
    return {generation.message_id: tokens} if db.session.scalar(runs) == 1 else {}


def _chars_per_token(stored: dict[str, Any], rows: Sequence[Row[Any]], counted: Mapping[int, int]) -> float:
    """Return the mean length of a token in this conversation.

    It is that of the stored tokens; where a server counts, which shows none, that of the counted messages.
    """
    token_lengths = [turn[5] for turn in stored["turns"] if len(turn) > 5 and isinstance(turn[5][0], int)]
    tokens, chars = sum(map(len, token_lengths)), sum(map(sum, token_lengths))
    least = MIN_MEASURED_TOKENS
    if not tokens and stored.get("counted_by", "engine") != "engine":
        tokens, least = sum(counted.get(row.id, 0) for row in rows), MIN_COUNTED_TOKENS
        chars = sum(row.length for row in rows if row.id in counted)
    if tokens >= least and chars:
        return float(chars / tokens)
    return CHARS_PER_TOKEN if stored.get("counted_by", "engine") == "engine" else FIRST_REMOTE_CHARS_PER_TOKEN


def _tokens_per_turn(stored: dict[str, Any]) -> float:
    """Return the number of tokens that the prompt format adds to each turn; 0 for reports of earlier versions."""
    return float(stored.get("frame", 0.0))


def _fixed_tokens(stored: dict[str, Any]) -> float:
    """Return the number of tokens that a prompt takes without any turn."""
    kept = sum(float(turn[2]) + _tokens_per_turn(stored) for turn in stored["turns"] if turn[3])
    return float(stored["used"]) - kept


def _suffix_sums(costs: Sequence[float]) -> list[float]:
    """Return the sums of `costs` from each index to the end; the last one is 0."""
    return [*accumulate(reversed(costs), initial=0.0)][::-1]


def _possible_starts(stored: dict[str, Any], rows: Sequence[Row[Any]], has_question: bool) -> list[int]:
    """Return the indices of `rows` with which the kept turns may begin.

    Chat models never begin with an answer whose question was dropped; text-to-text models read only the question.
    """
    if stored.get("family") == TEXT_TO_TEXT:
        return [len(rows)]
    can_start_anywhere = stored.get("family") != "chat"
    starts = [i for i, row in enumerate(rows) if can_start_anywhere or i == 0 or row.role is Role.USER]
    return [*starts, len(rows)] if has_question else starts or [0]
