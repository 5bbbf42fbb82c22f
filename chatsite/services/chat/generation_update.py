"""News of a generation: what its runner has to store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from chatsite.errors import ChatsiteError
from chatsite.models import Status


@dataclass
class GenerationUpdate:
    """The news of one generation since the last write of its runner; each part may be empty.

    With `is_provisional`, `text` replaces all that the generation wrote before; otherwise `text` is appended.
    `reasoning` is what the model thought before that, and is appended; `reasoning_tokens` of the `new_tokens` are its.
    `status` is set when the generation is finished, with `finish_reason` and, if it failed, `error`. With `seq`, the
    number of the chunk that the text becomes, the same update may be stored twice and counts once: after a broken
    connection nobody knows whether the last write was committed.
    """

    attempts: int
    text: str = ""
    new_tokens: int = 0
    prompt_report: dict[str, Any] | None = None
    status: Status | None = None
    finish_reason: str = ""
    error: ChatsiteError | None = None
    is_provisional: bool = False
    seq: int = 0
    reasoning: str = ""
    reasoning_tokens: int = 0
    is_restart: bool = False

    def restart(self) -> None:
        """Drop all that was written: of this update, and with `is_restart` what is stored of the generation."""
        self.text, self.reasoning, self.new_tokens, self.reasoning_tokens = "", "", 0, 0
        self.is_provisional = self.is_restart = True

    @property
    def is_empty(self) -> bool:
        """Return whether there is nothing to store."""
        return not (self.makes_chunk or self.new_tokens or self.prompt_report or self.status)

    @property
    def makes_chunk(self) -> bool:
        """Return whether there is text to store, of the answer or of the reasoning."""
        return bool(self.text or self.reasoning or self.is_provisional)


@dataclass
class HeldGeneration:
    """What the news change of a generation that a runner holds: columns of the same names.

    That is less than a row of the model, whose prompt report alone may be long: it is read at each tick.
    """

    id: int
    attempts: int
    last_seq: int
    token_count: int
    reasoning_tokens: int
    reasoning_seconds: float | None
    first_token_at: datetime | None
