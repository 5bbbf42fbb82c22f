"""What a batch asks of a model: read prompts piece by piece, and advance all running sequences by one token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor


@dataclass(eq=False)
class Row:
    """One sequence on its way through a model.

    `unread` are the ids that are still to be read before the first token is chosen; `room` is how many tokens
    can still be written before the model's positions end; `most` is the length that its cache may reach, `read` the
    length that it has. `caches` hold what was read while it waits for a place among the running ones, `place` is
    that place, and `token` what it reads at the next step.
    """

    prompt: Sequence[int]
    unread: list[int]
    room: int
    most: int
    read: int = 0
    token: int = 0
    place: int = -1
    caches: tuple[Tensor, ...] = ()
    reader: Any = None


class Stepper(Protocol):
    """A model that many sequences go through at once."""

    limit: int
    """How many sequences it advances at once."""

    @property
    def rows(self) -> list[Row]:
        """The running sequences, by their places."""

    def open(self, prompt: Sequence[int], prefix: Sequence[int], new: int) -> Row:
        """A sequence that is to write at most `new` tokens after its prompt and the prefix of its answer."""

    def bytes(self, row: Row) -> int:
        """The memory that its keys and values may take."""

    def read(self, row: Row, most: int) -> Tensor | None:
        """Read up to `most` ids of what is unread.

        Gives the logits after it (`[vocabulary]`), or None if more is to be read.
        """

    def join(self, row: Row) -> None:
        """Give a sequence whose prompt was read a place among the running ones."""

    def step(self, rows: Sequence[Row]) -> Tensor:
        """Let running sequences that stand side by side read their `token`; gives logits `[rows, vocabulary]`.

        Nothing but the cache changes, so that it may be repeated; `advance` makes it count.
        """

    def advance(self, row: Row) -> None:
        """The token of the last step has been read."""

    def leave(self, row: Row) -> None:
        """Forget a sequence, running or not."""


def embed_ids(ids: Sequence[int], like: Tensor) -> Tensor:
    """Token ids as a tensor where the model is."""
    return torch.tensor(ids, device=like.device)
