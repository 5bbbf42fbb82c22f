"""Which turns a server is sent: the newest that fit, whole, counted by the server where it can, or else estimated."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from chatsite.engine.prompting import MAX_TOKEN_TEXTS, longest_suffix
from chatsite.engine.prompting.fitting import prompt_budget
from chatsite.engine.remote.bodies import list_messages
from chatsite.engine.remote.counters import Counter
from chatsite.engine.remote.token_ledger import TokenLedger
from chatsite.engine.types import PromptReport, Request, Turn, TurnReport
from chatsite.errors import EmptyMessageError, PromptTooLongError

# What is only estimated may be wrong: so much of the room stays free.
ESTIMATE_RESERVE = 0.05
# A server that read less than this share of what it must have been sent has cut the prompt.
CUT_SHARE = 0.7
# No text has more characters in a token than this, in the mean of a prompt.
MOST_CHARS_PER_TOKEN = 8.0
# So many characters are remembered with their pieces; more would fill the memory with long documents.
MAX_SPLIT_CHARS = 500_000
PROBE_TEXT = "x"
# A question and the answer before it are new in most prompts.
NEW_TURNS = 2
# With fewer characters for each token of the context a prompt is all but sure to fit.
SAFE_CHARS_PER_TOKEN = 2.0


@dataclass(frozen=True)
class SentPrompt:
    """The turns that are sent, and the report on them; `turns` may hold the end of the newest one only."""

    turns: tuple[Turn, ...]
    report: PromptReport


@dataclass(frozen=True)
class ModelFacts:
    """What a report says of a model: its name in the catalog, its name at the server, and how much it reads."""

    name: str
    remote_name: str
    context_tokens: int


class EstimatedHistory:
    """Fits and reports by what is known of earlier prompts, and estimates the rest."""

    def __init__(self, ledger: TokenLedger) -> None:
        self._ledger = ledger

    def fit(self, request: Request, facts: ModelFacts, options: Mapping[str, Any]) -> SentPrompt:
        """Choose the turns for a request. Raises EmptyMessageError, PromptTooLongError."""
        newest = _require_newest(request)
        prefix_tokens = [0] * round(len(request.prefix) / self._ledger.chars_per_token)
        budget = prompt_budget(request, facts.context_tokens, prefix_tokens)
        room = budget * (1 - ESTIMATE_RESERVE) - self._system_cost(request)
        kept_newest = self._cut_newest(newest, room)
        newest_cost = self._ledger.estimate_cost("user", kept_newest.text)
        costs = [
            round(self._ledger.estimate_cost(turn.role, turn.text)) if turn.text.strip() else None
            for turn in request.turns[:-1]
        ]
        first_kept = begin_with_question(request.turns, longest_suffix(costs, int(room - newest_cost)))
        all_costs = [*costs, round(newest_cost)]
        turns = describe(request, all_costs, first_kept, is_truncated=kept_newest != newest)
        used_tokens = self._system_cost(request) + sum(turn.token_count for turn in turns if turn.is_kept)
        report = PromptReport(
            model=facts.name,
            revision=facts.remote_name,
            family="chat",
            budget_tokens=budget,
            used_tokens=round(used_tokens),
            turns=turns,
            persona=request.persona,
            options=dict(options),
            counted_by="estimated",
        )
        return SentPrompt((*request.turns[first_kept:-1], kept_newest), report)

    def apply_count(self, request: Request, sent: SentPrompt, prompt_tokens: int, *, may_cut: bool) -> PromptReport:
        """Return the report again, now that the server has counted the prompt, and learn from it.

        With `may_cut` a count that is much too small means that the server read the end of the prompt only.
        """
        pairs = self._pairs(request, sent.turns)
        chars = sum(len(text) for _, text in pairs)
        known = [self._ledger.find_cost(role, text) for role, text in pairs]
        least = max(chars / MOST_CHARS_PER_TOKEN, CUT_SHARE * sum(cost or 0.0 for cost in known))
        if may_cut and prompt_tokens < least:
            notes = (*sent.report.notes, "cut_by_server")
            return replace(sent.report, used_tokens=prompt_tokens, counted_by="server", notes=notes)
        self._ledger.apply_count(pairs, prompt_tokens)
        turns = tuple(
            replace(turn, token_count=self._known_count(sent, turn)) if turn.is_kept else turn
            for turn in sent.report.turns
        )
        return replace(sent.report, used_tokens=prompt_tokens, turns=turns, counted_by="server")

    def _known_count(self, sent: SentPrompt, turn: TurnReport) -> int:
        text = sent.turns[turn.index - len(sent.report.turns)].text
        return max(1, round(self._ledger.estimate_cost(turn.role, text)))

    def _system_cost(self, request: Request) -> float:
        return sum(self._ledger.estimate_cost(role, text) for role, text in self._pairs(request, ()))

    def _pairs(self, request: Request, turns: Sequence[Turn]) -> list[tuple[str, str]]:
        return [(message["role"], message["content"]) for message in list_messages(request, turns)]

    def _cut_newest(self, newest: Turn, room: float) -> Turn:
        """Return the end of the newest turn that fits; the end of a question says more than its beginning."""
        if self._ledger.estimate_cost(newest.role, newest.text) <= room:
            return newest
        frame = self._ledger.estimate_cost(newest.role, "")
        chars = int((room - frame) * self._ledger.chars_per_token)
        if chars < 1:
            raise PromptTooLongError
        return replace(newest, text=newest.text[-chars:])


@dataclass(frozen=True)
class Frame:
    """The tokens of the template: `base` in front of all and behind, `per_turn` around each, `system` around that."""

    base: int
    per_turn: float
    system: int


class CountedHistory:
    """Fits and reports by what the server counts before it answers."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._splits: OrderedDict[bytes, tuple[int, tuple[str, ...]]] = OrderedDict()
        self._split_chars = 0
        self._frame: Frame | None = None

    async def fit(self, request: Request, facts: ModelFacts, options: Mapping[str, Any]) -> SentPrompt:
        """Choose the turns for a request.

        Raises EmptyMessageError, PromptTooLongError, RequestFailedError, GarbageError.
        """
        newest = _require_newest(request)
        whole_count = await self._ask_ahead(request, newest, facts)
        frame = self._frame = self._frame or await self._measure_frame()
        prefix_count, _ = await self._split(request.prefix) if request.prefix else (0, ())
        budget = prompt_budget(request, facts.context_tokens, [0] * prefix_count)
        system_text = "\n".join(request.persona)
        system_count = (await self._split(system_text))[0] + frame.system if system_text.strip() else 0
        room = budget - frame.base - system_count
        count, pieces = await self._split(newest.text)
        kept_newest = newest
        if count > room:
            kept_newest, count = _cut_to_tokens(newest, pieces, count, room=int(room))
        counts = await self._count_earlier(request, room - count, frame)
        costs = [None if each is None else round(each + frame.per_turn) for each in counts]
        first_kept = begin_with_question(request.turns, longest_suffix(costs, int(room - count)))
        is_whole = not first_kept and kept_newest is newest
        used_tokens = (is_whole and whole_count) or await self._count_sent(request, first_kept, kept_newest)
        while used_tokens > budget and first_kept < len(request.turns) - 1:
            # The frame was measured on other turns: templates may do as they please.
            first_kept = begin_with_question(request.turns, first_kept + 1)
            used_tokens = await self._count_sent(request, first_kept, kept_newest)
        turns = describe(request, [*counts, count], first_kept, is_truncated=kept_newest is not newest)
        report = PromptReport(
            model=facts.name,
            revision=facts.remote_name,
            family="chat",
            budget_tokens=budget,
            used_tokens=used_tokens,
            turns=self._with_pieces(request, kept_newest, turns),
            persona=request.persona,
            options=dict(options),
            overhead_tokens=frame.per_turn,
            counted_by="server",
        )
        return SentPrompt((*request.turns[first_kept:-1], kept_newest), report)

    async def _ask_ahead(self, request: Request, newest: Turn, facts: ModelFacts) -> int | None:
        """Ask at the same time for what most prompts need: the new texts, and the whole prompt if it will fit.

        Returns the tokens of that, or None. Whoever waits for one after the other waits for each of them.
        """
        texts = {"\n".join(request.persona), request.prefix, *(turn.text for turn in request.turns[-NEW_TURNS:])}
        unknown = [text for text in texts if text.strip() and _digest(text) not in self._splits]
        fits = sum(len(turn.text) for turn in request.turns) < SAFE_CHARS_PER_TOKEN * facts.context_tokens
        whole = [self._count_sent(request, 0, newest)] if fits else []
        found = await asyncio.gather(*whole, *(self._split(text) for text in unknown))
        return found[0] if fits and isinstance(found[0], int) else None

    async def _count_earlier(self, request: Request, room: float, frame: Frame) -> list[int | None]:
        """Return the tokens of all turns before the newest, from the newest back until the room is full.

        Those that cannot be kept any more are estimated by those that can, so that a long conversation costs no more.
        """
        counts: list[int | None] = [None] * (len(request.turns) - 1)
        chars, tokens = 1, 1
        for index in range(len(counts) - 1, -1, -1):
            text = request.turns[index].text
            if not text.strip():
                continue
            count = (await self._split(text))[0] if room >= 0 else max(1, len(text) * tokens // chars)
            counts[index] = count
            chars, tokens = chars + len(text), tokens + count
            room -= count + frame.per_turn
        return counts

    async def _count_sent(self, request: Request, first_kept: int, newest: Turn) -> int:
        messages = list_messages(request, (*request.turns[first_kept:-1], newest))
        return await self._counter.count_prompt(messages)

    async def _measure_frame(self) -> Frame:
        question, answer = {"role": "user", "content": PROBE_TEXT}, {"role": "assistant", "content": PROBE_TEXT}
        system = {"role": "system", "content": PROBE_TEXT}
        one = (await self._split(PROBE_TEXT))[0]
        count = self._counter.count_prompt
        short, long = await count([question]), await count([question, answer, question])
        with_system = await count([system, question])
        return Frame(short - one, max(0.0, (long - short) / 2 - one), with_system - short - one)

    async def _split(self, text: str) -> tuple[int, tuple[str, ...]]:
        # By a digest: texts that were deleted should not stay here.
        key = _digest(text)
        if key not in self._splits:
            found = await self._counter.split_text(text)
            self._split_chars += 0 if key in self._splits else _char_count(found)
            self._splits[key] = found
            while self._split_chars > MAX_SPLIT_CHARS and len(self._splits) > 1:
                self._split_chars -= _char_count(self._splits.popitem(last=False)[1])
        self._splits.move_to_end(key, last=True)
        return self._splits[key]

    def _with_pieces(self, request: Request, newest: Turn, turns: Sequence[TurnReport]) -> tuple[TurnReport, ...]:
        """Add the texts of their tokens to the newest kept turns, as the reports of local models have them."""
        described, texts_left = list(turns), MAX_TOKEN_TEXTS
        for turn in reversed(turns):
            if not turn.is_kept or texts_left <= 0:
                continue
            _, pieces = self._splits.get(_digest(request.turns[turn.index].text), (0, ()))
            if turn.is_truncated:
                pieces = pieces[-turn.token_count :] if "".join(pieces).endswith(newest.text) else ()
            else:
                pieces = pieces[-texts_left:]
            described[turn.index] = replace(turn, token_texts=pieces)
            texts_left -= turn.token_count
        return tuple(described)


def begin_with_question(turns: Sequence[Turn], first_kept: int) -> int:
    """Return the first turn to keep: a conversation that lost its beginning begins with a question."""
    if not any(turn.text.strip() for turn in turns[:first_kept]):
        return first_kept
    last = len(turns) - 1
    return next((i for i in range(first_kept, last) if turns[i].role == "user" and turns[i].text.strip()), last)


def describe(
    request: Request, costs: Sequence[int | None], first_kept: int, *, is_truncated: bool
) -> tuple[TurnReport, ...]:
    """Report what becomes of each turn, whose tokens `costs` says; None for a turn without text."""
    last = len(request.turns) - 1
    return tuple(
        TurnReport(
            index=index,
            role=turn.role,
            token_count=costs[index] or 0,
            is_kept=index >= first_kept and costs[index] is not None,
            is_truncated=index == last and is_truncated,
        )
        for index, turn in enumerate(request.turns)
    )


def _require_newest(request: Request) -> Turn:
    if not request.turns or not request.turns[-1].text.strip():
        raise EmptyMessageError
    return request.turns[-1]


def _cut_to_tokens(newest: Turn, pieces: Sequence[str], count: int, *, room: int) -> tuple[Turn, int]:
    """Return the end of the newest turn that fits into `room` tokens, and how many it has."""
    if room < 1:
        raise PromptTooLongError
    text = "".join(pieces[-room:]) if pieces else newest.text[-(len(newest.text) * room // count) :]
    return replace(newest, text=text), room


def _char_count(split: tuple[int, tuple[str, ...]]) -> int:
    return sum(map(len, split[1])) + 1


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).digest()
