"""An engine without a model: its answer is a function of the question.

It serves the demo mode (`CHATSITE_MODEL=scripted`) and the tests, which can say what an answer must be to the letter.
A question of the form `/say TEXT` is answered with TEXT; `/fail` makes the engine fail after a few words; `/long N`
is answered with N numbered words; `/slow TEXT` writes at a tenth of the speed; `/draft TEXT` writes other texts first,
as a beam search does, and decides on TEXT at the end, unless the preset is the quick one. Everything else gets a short
text with some Markdown in it.
"""

from __future__ import annotations

import queue
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict

from chatsite.engine import (
    Delta,
    Draft,
    Event,
    Finish,
    FinishReason,
    Preset,
    Progress,
    Receipt,
    Report,
    Request,
    Residence,
    SeenTurn,
    Started,
    Turn,
)

CAPACITY = 64
BUDGET_WORDS = 2000
CHARS_PER_TOKEN = 4
STEP_SECONDS = 0.02
BEAMS = 10
UNDECIDED_CHARS = 12
WORD = re.compile(r"\s*\S+")


def answer_to(question: str) -> str:
    """The whole answer to a question; the same one every time."""
    command, _, rest = question.strip().partition(" ")
    if command in {"/say", "/slow", "/draft"}:
        return rest
    if command == "/long" and rest.strip().isdigit():
        return " ".join(f"word{number}" for number in range(1, int(rest) + 1))
    if command == "/fail":
        return "This answer will not"
    return (
        f"You wrote **{len(question.split())}** words. This is the demo: a script answers here, not a model.\n\n"
        "- Your conversation is kept.\n- It streams, stops and survives a crash.\n\n"
        "```python\nprint('Set CHATSITE_MODEL to talk with a real model.')\n```\n"
    )


class ScriptedEngine:
    """Writes `answer_to` the newest turn, `tokens_per_second` tokens of four characters to every request at once."""

    model = "scripted"
    capacity = CAPACITY

    def __init__(self, tokens_per_second: float = 40.0, outbox: queue.SimpleQueue[Event] | None = None) -> None:
        self._speed = tokens_per_second
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue() if outbox is None else outbox
        self._running: dict[int, _Script] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._write, name="scripted-engine", daemon=True)

    def load(self, report: Report) -> None:
        """Nothing to load: start the writing thread."""
        report(Progress("loading", 1.0))
        self._thread.start()

    def submit(self, request: Request) -> None:
        """Take up a request."""
        script = _Script(request, self._speed)
        self._events.put(Started(request.id, script.receipt))
        with self._lock:
            self._running[request.id] = script

    def cancel(self, request_id: int) -> None:
        """Stop a request now."""
        with self._lock:
            if self._running.pop(request_id, None):
                self._events.put(Finish(request_id, FinishReason.CANCELLED))

    def events(self, wait: float) -> list[Event]:
        """What happened since the last call."""
        found: list[Event] = []
        try:
            found.append(self._events.get(timeout=wait))
            while True:
                found.append(self._events.get_nowait())
        except queue.Empty:
            return found

    def residence(self) -> Residence:
        """It takes no memory that is worth telling."""
        return Residence(self.model, loaded=True, tokens_per_second=self._speed)

    def close(self) -> None:
        """End the writing thread."""
        self._closed.set()

    def _write(self) -> None:
        while not self._closed.wait(STEP_SECONDS):
            with self._lock:
                for request_id, script in list(self._running.items()):
                    for event in script.step(time.monotonic()):
                        self._events.put(event)
                    if script.over:
                        del self._running[request_id]


class _Script:
    """One answer on its way out."""

    def __init__(self, request: Request, speed: float) -> None:
        question = request.turns[-1].text
        self._request = request
        self._failing = question.startswith("/fail")
        self._drafting = drafts(request)
        self._speed = speed / 10 if question.startswith("/slow ") else speed
        self._rest = answer_to(question).removeprefix(request.prefix)
        self._started = time.monotonic()
        self._written = 0
        self.over = False
        self.receipt = read(request)

    def step(self, moment: float) -> Iterator[Event]:
        """What is due by `moment`, on the monotonic clock in seconds."""
        request_id, options = self._request.id, self._request.options
        tokens = min(int((moment - self._started) * self._speed), options.max_new_tokens)
        end = tokens * CHARS_PER_TOKEN
        text = self._rest[self._written : end]
        if text:
            count = -(-len(text) // CHARS_PER_TOKEN)
            yield Draft(request_id, draft(self._rest, end), count) if self._drafting else Delta(request_id, text, count)
            self._written += len(text)
        if self._written >= len(self._rest):
            yield self._finish(FinishReason.ERROR if self._failing else FinishReason.END)
        elif tokens >= options.max_new_tokens:
            yield self._finish(FinishReason.LENGTH)
        elif moment - self._started > options.seconds:
            yield self._finish(FinishReason.DEADLINE)

    def _finish(self, reason: FinishReason) -> Finish:
        self.over = True
        return Finish(
            self._request.id,
            reason,
            "The script was asked to fail." if reason is FinishReason.ERROR else None,
        )


def drafts(request: Request) -> bool:
    """Whether the answer is weighed before it is decided."""
    return request.turns[-1].text.startswith("/draft ") and request.options.preset is not Preset.BALANCED


def draft(text: str, end: int) -> str:
    """What a draft of `end` characters says: its last words are others than those of the text, until all are there."""
    settled = end - UNDECIDED_CHARS
    return text if end >= len(text) else text[: max(settled, 0)] + text[max(settled, 0) : end][::-1]


def read(request: Request) -> Receipt:
    """The receipt of a prompt whose tokens are words: the newest whole turns that fit into the budget."""
    seen: list[SeenTurn] = []
    used, fits = 0, True
    for index in range(len(request.turns) - 1, -1, -1):
        turn: Turn = request.turns[index]
        tokens = len(turn.text.split())
        newest = index == len(request.turns) - 1
        fits = fits and (newest or used + tokens <= BUDGET_WORDS)
        used += tokens if fits else 0
        pieces = tuple(WORD.findall(turn.text.strip())) if fits else ()
        seen.append(SeenTurn(index, turn.role, tokens, kept=fits, pieces=pieces))
    return Receipt(
        model="scripted",
        revision="1",
        family="scripted",
        budget=BUDGET_WORDS,
        used=used,
        turns=tuple(reversed(seen)),
        persona=request.persona,
        options=asdict(request.options) | ({"beams": BEAMS} if drafts(request) else {}),
    )
