"""Executors: what the scheduler asks of a model.

An executor reads prompts piece by piece and advances all running sequences by one token. A request is a group of
sequences: mostly one, in a beam search several, its beams, which are equally long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass(eq=False)
class SequenceGroup:
    """The sequences of one request in a model.

    `unread_ids` are still to be read before the first token is chosen; `tokens_left` is how many tokens can still be
    written before the model's positions end; `max_positions` is the length that its cache may reach, `num_read` the
    length that it has. While it reads its prompt it is one sequence; from `activate_group` on it is `num_beams` of
    them, and `next_ids` is what each of these reads at the next step. `prefill_caches` hold what was read until it gets
    `cache_row`, its row among the running groups.
    """

    prompt_ids: Sequence[int]
    unread_ids: list[int]
    tokens_left: int
    max_positions: int
    num_beams: int = 1
    num_read: int = 0
    # A number before the first token is chosen, as a step needs one for each beam.
    next_ids: Sequence[int] = (0,)
    # -1 until it is activated, and again after it is freed.
    cache_row: int = -1
    prefill_caches: tuple[Tensor, ...] = ()


class ModelExecutor(Protocol):
    """Runs a model over many sequences at once.

    The order of calls for a group is `create_group`, `prefill_chunk` until it returns logits, `activate_group`, then
    steps: `decode_step`, `commit_step` and perhaps `reorder_beams`, and `free_group` at any time.
    """

    max_groups: int
    """How many rows it advances at once."""

    max_sequences: int
    """How many sequences these may be in all."""

    @property
    def running_groups(self) -> list[SequenceGroup]:
        """The running groups, in the order of their cache rows."""

    def create_group(
        self, prompt_ids: Sequence[int], prefix_ids: Sequence[int], max_new_tokens: int, *, num_beams: int = 1
    ) -> SequenceGroup:
        """Create the group of a request.

        Args: `prompt_ids` are read first, then `prefix_ids`, the beginning of the answer; up to `max_new_tokens` tokens
        are written by each of `num_beams` beams, of which there are not more than `max_sequences`.
        """

    def cache_bytes(self, group: SequenceGroup) -> int:
        """Return the memory that its keys and values may take in bytes, all beams together."""

    def prefill_chunk(self, group: SequenceGroup, max_tokens: int) -> Tensor | None:
        """Read up to `max_tokens` of the unread ids.

        Returns: the logits after the last of them (`[vocabulary]`), or None if more is to be read.
        """

    def activate_group(self, group: SequenceGroup) -> None:
        """Give a group whose prompt was read a cache row; from now on it is `group.num_beams` sequences."""

    def decode_step(self, groups: Sequence[SequenceGroup]) -> Tensor:
        """Let running groups in adjacent cache rows read their `next_ids`.

        Returns: logits `[sequences, vocabulary]`, one group's beams after the other's, in the order of `groups`.
        Nothing but the cache changes, so that a step may be repeated; `commit_step` makes it count.
        """

    def commit_step(self, group: SequenceGroup) -> None:
        """Count the tokens of the last step as read."""

    def reorder_beams(self, group: SequenceGroup, parents: Sequence[int]) -> None:
        """Let beam `i` of a group go on from what its beam `parents[i]` has read (`[group.num_beams]`).

        A parent may have several children or none. Called after `commit_step` and before the next step.
        """

    def free_group(self, group: SequenceGroup) -> None:
        """Forget a group with all its beams, running or not."""


def ids_to_tensor(ids: Sequence[int], like: Tensor) -> Tensor:
    """Return token ids as a tensor on the device of `like`."""
    return torch.tensor(ids, device=like.device)
