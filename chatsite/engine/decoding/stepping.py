"""What a batch asks of a model: read prompts piece by piece, and advance all running sequences by one token.

A request is a row. Mostly a row is one sequence; in a beam search it is several, its beams, which are equally long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass(eq=False)
class Row:
    """The sequences of one request on their way through a model.

    `unread` are the ids that are still to be read before the first token is chosen; `room` is how many tokens
    can still be written before the model's positions end; `most` is the length that its cache may reach, `read` the
    length that it has. While it reads its prompt it is one sequence; from `join` on it is `beams` of them, and
    `tokens` is what each of these reads at the next step. `caches` hold what was read while it waits for a place among
    the running ones, `place` is that place.
    """

    prompt: Sequence[int]
    unread: list[int]
    room: int
    most: int
    beams: int = 1
    read: int = 0
    tokens: Sequence[int] = (0,)
    place: int = -1
    caches: tuple[Tensor, ...] = ()


class Stepper(Protocol):
    """A model that many sequences go through at once."""

    limit: int
    """How many rows it advances at once."""

    breadth: int
    """How many sequences these may be in all."""

    @property
    def rows(self) -> list[Row]:
        """The running rows, by their places."""

    def open(self, prompt: Sequence[int], prefix: Sequence[int], new: int, beams: int = 1) -> Row:
        """A row whose sequences are to write at most `new` tokens after the prompt and the prefix of the answer.

        `beams` is not more than `breadth`.
        """

    def bytes(self, row: Row) -> int:
        """The memory that its keys and values may take, all beams together."""

    def read(self, row: Row, most: int) -> Tensor | None:
        """Read up to `most` ids of what is unread.

        Gives the logits after it (`[vocabulary]`), or None if more is to be read.
        """

    def join(self, row: Row) -> None:
        """Give a row whose prompt was read a place among the running ones.

        From now on it is `row.beams` sequences, all of which have read the same.
        """

    def step(self, rows: Sequence[Row]) -> Tensor:
        """Let running rows that stand side by side read their `tokens`.

        Gives logits `[sequences, vocabulary]`, one row's beams after the other's, in the order of `rows`. Nothing but
        the cache changes, so that it may be repeated; `advance` makes it count.
        """

    def advance(self, row: Row) -> None:
        """The tokens of the last step have been read."""

    def reorder(self, row: Row, parents: Sequence[int]) -> None:
        """Let beam `i` of a running row go on from what its beam `parents[i]` has read (`[row.beams]`).

        A parent may have several children or none. Called after `advance` and before the next step.
        """

    def leave(self, row: Row) -> None:
        """Forget a row with all its beams, running or not."""


def embed_ids(ids: Sequence[int], like: Tensor) -> Tensor:
    """Token ids as a tensor where the model is."""
    return torch.tensor(ids, device=like.device)
