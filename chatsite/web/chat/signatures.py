"""Signatures: the line under an answer that says what the model read of the conversation, and how fast it wrote.

It is made of what is stored with the answer and says nothing else. A page has many, so it costs no query.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from flask_babel import gettext

from chatsite.i18n import format_count, format_one_decimal
from chatsite.models import Generation, Message
from chatsite.services.chat.generation_leases import MAX_PROMPT_MESSAGES
from chatsite.services.chat.prompt_report import TEXT_TO_TEXT

# A generation that is this much younger than its message is not the first one, and may have written only a part of it.
FIRST_GENERATION = timedelta(seconds=2)
# In languages without spaces a word is no measure.
MAX_TOKENS_PER_WORD = 4


@dataclass(frozen=True)
class ReadTurns:
    """How many messages a prompt report lists, how many of them the model read, and whether it read the last whole.

    With `may_lack_earlier` the conversation may have messages before those of the report. With `is_cut_by_server` the
    server of the model read less than it was sent.
    """

    listed: int
    read: int
    is_cut: bool
    is_single_task: bool
    may_lack_earlier: bool
    is_cut_by_server: bool = False

    @property
    def is_partial(self) -> bool:
        """Whether the model was to read more than it did."""
        return self.is_cut or self.is_cut_by_server or (self.read < self.listed and not self.is_single_task)


@dataclass(frozen=True)
class Signature:
    """The words of a signature; either may be empty. `is_partial` says that the model did not see everything."""

    reading: str
    speed: str
    is_partial: bool


def build_signature(message: Message) -> Signature | None:
    """Build the signature of a finished answer; None if nothing is known of how it was written."""
    generation = message.generation
    if generation is None or not (generation.prompt_report or generation.token_count):
        return None
    turns = read_turns(generation)
    return Signature(
        _reading(turns) if turns else "",
        _speed(message, generation) if message.text else "",
        turns is not None and turns.is_partial,
    )


def read_turns(generation: Generation) -> ReadTurns | None:
    """Count the turns of the stored prompt report; None without one."""
    report = generation.prompt_report or {}
    rows: Sequence[Sequence[Any]] = report.get("turns") or ()
    # A message without words is shown to no model.
    listed = [row for row in rows if row[2]]
    if not listed:
        return None
    return ReadTurns(
        len(listed),
        sum(bool(row[3]) for row in listed),
        any(row[4] for row in listed),
        report.get("family") == TEXT_TO_TEXT,
        len(rows) >= MAX_PROMPT_MESSAGES,
        "cut_by_server" in (report.get("notes") or ()),
    )


def headline(turns: ReadTurns) -> str:
    """Say in a sentence what the model saw of the conversation."""
    dropped = turns.listed - turns.read
    if turns.is_cut_by_server:
        return str(gettext("The server cut the beginning of the chat"))
    if turns.is_single_task and not turns.is_cut:
        return str(gettext("The model saw only your last message"))
    if turns.is_cut:
        return str(gettext("The model saw only the end of your last message"))
    if turns.may_lack_earlier:
        return str(gettext("The model saw the last %(count)s messages", count=format_count(turns.read)))
    if dropped == 1:
        return str(gettext("The model saw all but the first message"))
    if dropped:
        return str(gettext("The model saw all but the first %(count)s messages", count=format_count(dropped)))
    return str(gettext("The model saw everything"))


def _reading(turns: ReadTurns) -> str:
    dropped = turns.listed - turns.read
    if turns.is_cut_by_server:
        return str(gettext("Read only the end of the chat"))
    if turns.is_cut:
        return str(gettext("Read only the end of your message"))
    if turns.is_single_task or turns.listed == 1:
        return str(gettext("Read your message"))
    if turns.may_lack_earlier:
        return str(gettext("Read the last %(count)s messages", count=format_count(turns.read)))
    if dropped == 1:
        return str(gettext("Did not read the first message"))
    if dropped:
        return str(gettext("Did not read the first %(count)s messages", count=format_count(dropped)))
    return str(gettext("Read all %(count)s messages", count=format_count(turns.read)))


def _speed(message: Message, generation: Generation) -> str:
    """Say how fast an answer was written: in words where one generation wrote all of it, else in tokens."""
    # What was thought before is no part of the words.
    tokens_per_second, tokens = (
        generation.tokens_per_second,
        generation.token_count - (generation.reasoning_tokens or 0),
    )
    if not tokens_per_second or not tokens:
        return ""
    words = len(message.text.split())
    is_first = generation.created_at - message.created_at < FIRST_GENERATION
    if is_first and words * MAX_TOKENS_PER_WORD >= tokens:
        return str(gettext("%(speed)s words/s", speed=format_one_decimal(tokens_per_second * words / tokens)))
    return str(gettext("%(speed)s tokens/s", speed=format_one_decimal(tokens_per_second)))
