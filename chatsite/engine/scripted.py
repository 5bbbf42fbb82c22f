"""An engine without a model: its answer is a function of the question.

It serves the demo mode (`CHATSITE_DEFAULT_MODEL=scripted`) and the tests, which can say what an answer must be to the
letter. A question of the form `/say TEXT` is answered with TEXT; `/fail` makes the engine fail after a few words;
`/long N` is answered with N numbered words; `/slow TEXT` writes at a tenth of the speed; `/think REASONING => TEXT`
thinks REASONING before it answers with TEXT; `/draft TEXT` writes other texts first, as a beam search does, and decides
on TEXT at the end, unless the preset is the quick one. Everything else gets a short text with some Markdown in it.
Whoever asks in the background for the title of a conversation in which there is `/title TEXT` gets TEXT.
"""

from __future__ import annotations

import queue
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from chatsite.engine.outbox import Outbox, drain_events
from chatsite.engine.types import (
    Delta,
    Event,
    Finish,
    FinishReason,
    ModelStatus,
    Preset,
    Progress,
    ProgressCallback,
    PromptReport,
    ProvisionalText,
    Reasoning,
    Request,
    Started,
    Turn,
    TurnReport,
)
from chatsite.errors import ScriptFailedError

CAPACITY = 64
BUDGET_TOKENS = 2000
CHARS_PER_TOKEN = 4
STEP_SECONDS = 0.02
BEAMS = 10
PROVISIONAL_CHARS = 12
WORD = re.compile(r"\s*\S+")
TITLE_COMMAND = re.compile("/title (.*)")
THINK_COMMAND, END_OF_REASONING = "/think ", "=>"


def reply_for(question: str) -> str:
    """Return the whole answer to a question, which is always the same one."""
    command, _, argument = question.strip().partition(" ")
    if command in {"/say", "/slow", "/draft"}:
        return argument
    if command == "/think":
        return argument.partition(END_OF_REASONING)[2].strip()
    if command == "/long" and argument.strip().isdigit():
        return " ".join(f"word{number}" for number in range(1, int(argument) + 1))
    if command == "/fail":
        return "This answer will not"
    return (
        f"You wrote **{len(question.split())}** words. This is the demo: a script answers here, not a model.\n\n"
        "- Your conversation is kept.\n- It streams, stops and survives a crash.\n\n"
        "```python\nprint('Set CHATSITE_DEFAULT_MODEL to talk with a real model.')\n```\n"
    )


def text_for(request: Request) -> str:
    """Return the whole text that a request is answered with, its prefix included."""
    newest = request.turns[-1].text
    title = TITLE_COMMAND.search(newest) if request.is_background else None
    return title[1] if title else reply_for(newest)


def reasoning_for(request: Request) -> str:
    """Return what is thought before a request is answered; nothing before the rest of an answer."""
    question = request.turns[-1].text.strip()
    if request.prefix or request.is_background or not question.startswith(THINK_COMMAND):
        return ""
    return question.removeprefix(THINK_COMMAND).partition(END_OF_REASONING)[0].strip()


class ScriptedEngine:
    """Writes `reply_for` the newest turn, `tokens_per_second` tokens of four characters, to all requests at once."""

    model = "scripted"
    capacity = CAPACITY

    def __init__(self, tokens_per_second: float = 40.0, outbox: Outbox | None = None) -> None:
        self._tokens_per_second = tokens_per_second
        self._outbox: Outbox = queue.SimpleQueue() if outbox is None else outbox
        self._running_answers: dict[int, _ScriptedAnswer] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run_loop, name="scripted-engine", daemon=True)

    def load(self, on_progress: ProgressCallback) -> None:
        """Start the writing thread; there is nothing to load."""
        on_progress(Progress("loading", 1.0))
        self._thread.start()

    def submit(self, request: Request) -> None:
        """Take up a request: its Started event comes at once."""
        answer = _ScriptedAnswer(request, self._tokens_per_second)
        self._outbox.put(Started(request.id, answer.report))
        with self._lock:
            self._running_answers[request.id] = answer

    def cancel(self, request_id: int) -> None:
        """Stop a request at once, with a Finish."""
        with self._lock:
            if self._running_answers.pop(request_id, None):
                self._outbox.put(Finish(request_id, FinishReason.CANCELED))

    def poll_events(self, timeout_seconds: float) -> list[Event]:
        """Return the events since the last call, waiting up to `timeout_seconds` seconds for one."""
        return drain_events(self._outbox, timeout_seconds)

    def get_status(self) -> ModelStatus:
        """Return a status without memory, which is too little to tell."""
        return ModelStatus(self.model, is_loaded=True, tokens_per_second=self._tokens_per_second)

    def close(self) -> None:
        """End the writing thread."""
        self._closing.set()

    def _run_loop(self) -> None:
        while not self._closing.wait(STEP_SECONDS):
            with self._lock:
                for request_id, answer in list(self._running_answers.items()):
                    for event in answer.due_events(time.monotonic()):
                        self._outbox.put(event)
                    if answer.is_finished:
                        del self._running_answers[request_id]


class _ScriptedAnswer:
    """One answer while it is written."""

    def __init__(self, request: Request, tokens_per_second: float) -> None:
        question = request.turns[-1].text
        self._request = request
        self._must_fail = question.startswith("/fail")
        self._is_provisional = uses_provisional_text(request)
        self._tokens_per_second = tokens_per_second / 10 if question.startswith("/slow ") else tokens_per_second
        self._reasoning = reasoning_for(request)
        self._text = text_for(request).removeprefix(request.prefix)
        self._started_at = time.monotonic()
        self._thought_chars = self._written_chars = 0
        self.is_finished = False
        self.report = build_report(request)

    def due_events(self, now_seconds: float) -> Iterator[Event]:
        """Yield the events that are due by `now_seconds`, a time of the monotonic clock."""
        request_id, options = self._request.id, self._request.options
        due_tokens = int((now_seconds - self._started_at) * self._tokens_per_second)
        thought = self._reasoning[self._thought_chars : due_tokens * CHARS_PER_TOKEN]
        if thought:
            yield Reasoning(request_id, thought, _count_tokens(thought))
            self._thought_chars += len(thought)
        due_tokens = min(due_tokens - _count_tokens(self._reasoning), options.max_new_tokens)
        end = max(due_tokens, 0) * CHARS_PER_TOKEN
        text = self._text[self._written_chars : end]
        if text:
            token_count = _count_tokens(text)
            yield (
                ProvisionalText(request_id, provisional_text(self._text, end), token_count)
                if self._is_provisional
                else Delta(request_id, text, token_count)
            )
            self._written_chars += len(text)
        if self._written_chars >= len(self._text) and due_tokens >= 0:
            yield self._finish_with(FinishReason.ERROR if self._must_fail else FinishReason.END)
        elif due_tokens >= options.max_new_tokens:
            yield self._finish_with(FinishReason.LENGTH)
        elif now_seconds - self._started_at > options.seconds:
            yield self._finish_with(FinishReason.DEADLINE)

    def _finish_with(self, reason: FinishReason) -> Finish:
        self.is_finished = True
        return Finish(
            self._request.id,
            reason,
            ScriptFailedError() if reason is FinishReason.ERROR else None,
        )


def _count_tokens(text: str) -> int:
    return -(-len(text) // CHARS_PER_TOKEN)


def uses_provisional_text(request: Request) -> bool:
    """Say whether the answer to a request comes as provisional text, as that of a beam search does."""
    return request.turns[-1].text.startswith("/draft ") and request.options.preset is not Preset.BALANCED


def provisional_text(text: str, end_chars: int) -> str:
    """Return a draft of `end_chars` characters, whose last words are reversed until all of the text is there."""
    decided_chars = end_chars - PROVISIONAL_CHARS
    return (
        text
        if end_chars >= len(text)
        else text[: max(decided_chars, 0)] + text[max(decided_chars, 0) : end_chars][::-1]
    )


def _reported_options(request: Request) -> dict[str, Any]:
    """Return the options that count: those of the reasoning only where there is some."""
    options = asdict(request.options)
    return options if reasoning_for(request) else {k: v for k, v in options.items() if k != "max_reasoning_tokens"}


def build_report(request: Request) -> PromptReport:
    """Report a prompt whose tokens are words: the newest whole turns that fit into the budget."""
    turn_reports: list[TurnReport] = []
    used_tokens, still_fits = 0, True
    for index in range(len(request.turns) - 1, -1, -1):
        turn: Turn = request.turns[index]
        token_count = len(turn.text.split())
        is_newest = index == len(request.turns) - 1
        still_fits = still_fits and (is_newest or used_tokens + token_count <= BUDGET_TOKENS)
        used_tokens += token_count if still_fits else 0
        token_texts = tuple(WORD.findall(turn.text.strip())) if still_fits else ()
        turn_reports.append(TurnReport(index, turn.role, token_count, is_kept=still_fits, token_texts=token_texts))
    return PromptReport(
        model="scripted",
        revision="1",
        family="scripted",
        budget_tokens=BUDGET_TOKENS,
        used_tokens=used_tokens,
        turns=tuple(reversed(turn_reports)),
        persona=request.persona,
        options=_reported_options(request) | ({"beams": BEAMS} if uses_provisional_text(request) else {}),
    )
